"""The command emotion-worker."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import structlog
from cyclopts import App, Parameter

from worker.errors import ConfigurationError, WorkerError
from worker.logs import configure_logs
from worker.rescore_cli import rescore
from worker.settings import Settings

app = App(name="emotion-worker", help="Reads transcripts from Kafka and writes their emotions to Postgres.")
dead_letters = App(name="dead-letters", help="Look at what could not become rows, and publish it again.")
app.command(dead_letters)
app.command(rescore)

log = structlog.get_logger("worker")

_STAGES: Final = ("inference", "storage", "champion", "shadow")
"""Threads that may be inside torch or libpq when all else has ended: the stages, and those that load other models."""


@app.command
def run() -> None:
    """Read transcripts and write rows until SIGTERM or Ctrl-C.

    Settings come from the environment, or from files of the same names in /run/secrets.

    For example:

        export WORKER_KAFKA_BOOTSTRAP_SERVERS=localhost:9092
        export WORKER_DATABASE_URL=postgresql://emotions@localhost/emotions
        emotion-worker run
    """
    from worker.composition import run_worker  # noqa: PLC0415 - other commands start faster without it.

    run_worker(_settings())


@app.command
def migrate() -> None:
    """Create or upgrade the tables of WORKER_DATABASE_URL.

    For example:

        export WORKER_DATABASE_URL=postgresql://emotions@localhost/emotions
        emotion-worker migrate
    """
    from worker.migrate import migrate as upgrade  # noqa: PLC0415 - as above.

    upgrade(_settings().required_database_url)
    print("the database is up to date")  # noqa: T201 - the command's answer.


@app.command
def publish(
    file: Annotated[str, Parameter(allow_leading_hyphen=True, help="JSON lines or plain text lines; - for stdin.")],
) -> None:
    """Publish transcripts to the topic.

    For example:

        emotion-worker publish examples/transcripts.jsonl
        echo "ну наконец то дозвонилась" | emotion-worker publish -
    """
    from worker.publish import publish as send  # noqa: PLC0415 - as above.

    settings = _kafka_settings()
    with _lines(file) as lines:
        count = send(lines, settings)
    print(f"published {count} messages to {settings.kafka_topic}")  # noqa: T201 - the command's answer.


@app.command
def classify(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-",
    *,
    model: str | None = None,
    device: str | None = None,
) -> None:
    """Classify lines of text or JSON; needs neither Kafka nor a database.

    Each line gives one JSON object: id, text, emotions, scores, model_version.

    For example:

        echo "мне очень страшно за нее" | emotion-worker classify

    Args:
        file: JSON lines or plain text lines; - for stdin.
        model: A bundle's folder or hub name, instead of WORKER_MODEL.
        device: auto, cpu, cuda or cuda:N, instead of WORKER_DEVICE.
    """
    from worker.classify import classify_lines  # noqa: PLC0415 - as above.

    given = {"model": model, "device": device}
    settings = _settings(**{name: value for name, value in given.items() if value is not None})
    with _lines(file) as lines:
        for answer in classify_lines(lines, settings):
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()


@app.command
def demo(*, keep: bool = False) -> None:
    """Show the whole flow here: broker and database from wheels, sample calls, the released model.

    For example:

        emotion-worker demo --keep

    Args:
        keep: Leave broker and database up until Ctrl-C, and print their addresses.
    """
    from worker.demo import run_demo  # noqa: PLC0415 - as above.

    run_demo(keep=keep)


@dead_letters.command(name="list")
def list_() -> None:
    """List the dead letters with the reason of each.

    For example:

        emotion-worker dead-letters list
    """
    from worker.dead_letters import read_dead_letters  # noqa: PLC0415 - as above.

    for letter in read_dead_letters(_kafka_settings()):
        said = letter.errors
        place = f"{said.get('topic')}[{said.get('partition')}]@{said.get('offset')}"
        value = (letter.value or b"").decode("utf-8", "replace")
        print(f"{place}  {said.get('stage')}: {said.get('exception.message')}\n    {value}")  # noqa: T201 - as above.


@dead_letters.command
def replay(*, repair: str | None = None) -> None:
    """Publish each dead letter, once over all replays, to the topic it came from.

    For example:

        emotion-worker dead-letters replay
        emotion-worker dead-letters replay --repair "jq -c '.text = .txt'"

    Args:
        repair: A shell command that reads a message on stdin and prints the repaired one; where it fails or
            prints nothing, the message is left out.
    """
    from worker.dead_letters import replay_dead_letters  # noqa: PLC0415 - as above.
    from worker.repair import by_command  # noqa: PLC0415 - as above.

    published, left_out = replay_dead_letters(_kafka_settings(), by_command(repair) if repair else None)
    print(f"published {published} messages again, left out {left_out}")  # noqa: T201 - the command's answer.


def main() -> None:
    """Run the command line; expected errors end in one line and exit code 2, others in a trace and 1."""
    threading.current_thread().name = "main"
    configure_logs("info")
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        # A reader that has seen enough, such as head, ends the command as it ends any other.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
        raise
    _leave(code)


def _run() -> int:
    """Run the command and return the exit code that its end means."""
    try:
        app()
    except WorkerError as error:
        log.error(str(error))  # noqa: TRY400 - the message says it all.
        return 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        raise
    except BaseException:  # noqa: BLE001 - the process's entry point: what it dies of is shown as Python shows it.
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End the process, and with it a stage that is left behind in the middle of its work.

    The interpreter's own end would take the ground from under a thread inside torch, which aborts the process.
    """
    if any(thread.name.startswith(_STAGES) for thread in threading.enumerate()):
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _settings(**overrides: object) -> Settings:
    settings = Settings.load(**overrides)
    configure_logs(settings.log_level)
    return settings


def _kafka_settings() -> Settings:
    """Return the settings, and let Ctrl-C end the process: the client (3.0.12) may swallow a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _settings()


@contextmanager
def _lines(file: str) -> Iterator[Iterator[str]]:
    with ExitStack() as stack:
        try:
            lines = stack.enter_context(Path("/dev/stdin" if file == "-" else file).open(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
        try:
            yield iter(lines)
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{file} is not UTF-8: {error}") from error

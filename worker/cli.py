"""The command emotion-worker: what it is told, and how it ends."""

import logging
import os
import sys
import threading
from typing import Final, NoReturn

from cyclopts import App

from registry.command_line import run_command, version
from worker.errors import loggable_text
from worker.observability.logs import configure_logs

_STAGES: Final = ("inference", "storage", "champion", "shadow")
"""Threads that may be inside torch or libpq when all else has ended: the stages, and those that load other models."""

# Commands are imported when they are called: the libraries of one take seconds, and another needs none of them.
app = App(
    name="emotion-worker", help="Reads transcripts from Kafka and writes their emotions to Postgres.", version=version
)
app.command(
    "worker.commands.run:run",
    help="""Read transcripts and write rows until SIGTERM or Ctrl-C.

    Settings come from the environment, or from files of the same names in /run/secrets.

    For example:

        export WORKER_KAFKA_BOOTSTRAP_SERVERS=localhost:9092
        export WORKER_DATABASE_URL=postgresql://emotions@localhost/emotions
        emotion-worker run
    """,
)
app.command(
    "worker.commands.migrate:migrate",
    help="""Create or upgrade the tables of WORKER_DATABASE_URL, or bring them back to an older revision.

    For example:

        export WORKER_DATABASE_URL=postgresql://emotions@localhost/emotions
        emotion-worker migrate
        emotion-worker migrate --to 0004
        emotion-worker migrate --roles
    """,
)
app.command(
    "worker.commands.publish:publish",
    help="""Publish the transcripts of a file to the topic: JSON lines, plain text, or what a recognizer wrote.

    The file is read to its end before anything is published.

    For example:

        emotion-worker publish examples/transcripts.jsonl
        emotion-worker publish call-17.srt --session call-17
        emotion-worker publish call-17.json --channel-roles 0=agent,1=customer
        echo "ну наконец то дозвонилась" | emotion-worker publish -
    """,
)
app.command(
    "worker.commands.classify:classify",
    help="""Classify the transcripts of a file; needs neither Kafka nor a database.

    Each gives one JSON object: id, text, emotions, scores, model_version, convention.

    For example:

        echo "мне очень страшно за нее" | emotion-worker classify
        emotion-worker classify --explain call-17.json
    """,
)
app.command(
    "worker.commands.report:report",
    help="""Write a page that shows where customers were distressed, and why: one file, for any browser.

    It asks the database of WORKER_DATABASE_URL, or reads a file of transcripts or of what `classify` wrote.

    For example:

        emotion-worker report --since 7d --output calls.html
        emotion-worker report examples/transcripts.jsonl
    """,
)
app.command(
    "worker.commands.rescore:rescore",
    help="""Score stored texts again where an older model has scored them, or this one by another convention or rule.

    Each row keeps its convention of labels, unless you name one. As many processes as you like share the work. A row
    that is written names the new model and the convention, so what was stopped goes on with the same command. SIGTERM
    and Ctrl-C end it after the batch in hand.

    For example:

        emotion-worker rescore --since 2026-01-01 --rate 200
    """,
)
app.command(
    "worker.commands.backfill:backfill",
    help="""Read the messages of a period again, below a rate, while the workers go on.

    Their rows are written again, or for the first time. A newer message is never overwritten by an older one. A run
    that was stopped or killed goes on with the same command, and ends by itself. Further processes share the work.

    For example:

        emotion-worker backfill --from 2026-11-01 --to 2026-11-02T12:00 --rate 50
    """,
)
app.command(
    "worker.commands.erase:erase",
    help="""Erase for good what people said: rows, shadow rows, labels. No replay and no import brings them back.

    The answer names the other places that hold words, and what to do there; see docs/privacy.md. What was stopped goes
    on with the same command.

    For example:

        emotion-worker erase --session call-17 --dry-run
        emotion-worker erase --session call-17 --by "privacy officer"
        emotion-worker erase --transcript 0f8fad5b-d9cb-469f-a165-70867728950e
        emotion-worker erase --before 2026-01-01
    """,
)
app.command(
    "worker.commands.prune:prune",
    help="""Delete rows and shadow rows that are old, a few at a time; labels stay.

    Workers and queries go on meanwhile. Messages that come again are stored again, until the next pass. SIGTERM and
    Ctrl-C end it after the batch in hand, and the same command goes on.

    For example:

        emotion-worker prune --older-than 90d
        emotion-worker prune --older-than 90d --every 1d
    """,
)
app.command(
    "worker.commands.demo:demo",
    help="""Show the whole flow here: broker and database from wheels, sample calls, the released model.

    For example:

        emotion-worker demo --keep
    """,
)

dead_letters = App(name="dead-letters", help="Look at what could not become rows, and publish it again.")
app.command(dead_letters)
dead_letters.command(
    "worker.commands.dead_letters:list_",
    name="list",
    help="""List the dead letters: where each came from, why and when it was rejected, and whether it was replayed.

    For example:

        emotion-worker dead-letters list
        emotion-worker dead-letters list --waiting --reason decode --since 2026-11-28T10:00
    """,
)
dead_letters.command(
    "worker.commands.dead_letters:replay",
    help="""Publish each dead letter, once over all replays, to the topic it came from.

    A message that holds no transcript, also after the repair, stays where it is.

    For example:

        emotion-worker dead-letters replay --reason classify --dry-run
        emotion-worker dead-letters replay --repair "jq -c '.text //= .txt'"
    """,
)


def main() -> None:
    """Run the command line; expected errors end in one line and exit code 2, others in a trace and 1."""
    threading.current_thread().name = "main"
    configure_logs("info")
    _leave(_run())


def _run() -> int:
    """Run the command and return the exit code that its end means."""
    # Cyclopts takes a lone - for an option; allowed to take it for a file, it takes misspelt options for files too.
    arguments = ["/dev/stdin" if word == "-" else word for word in sys.argv[1:]]
    try:
        return run_command(app, loggable_text, arguments)
    except BrokenPipeError:
        raise
    except BaseException:  # noqa: BLE001 - the process's entry point: what it dies of is shown as Python shows it.
        sys.excepthook(*sys.exc_info())
        return 1


def _leave(code: int) -> NoReturn:
    """End the process, and with it a stage that is left behind in the middle of its work.

    The interpreter's own end would take the ground from under a thread inside torch, which aborts the process.
    """
    if any(thread.name.startswith(_STAGES) for thread in threading.enumerate()):
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

"""The installed commands, and the settings by which they find each other."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from worker.demo.services import end_with_this_process

BIN: Final = Path(sys.executable).parent
TOPIC: Final = "transcripts"
DEAD_LETTERS: Final = f"{TOPIC}.dead-letters"

_STOP_S: Final = 60


class CommandFailed(RuntimeError):
    """A command ended as it should not; the message holds its last words."""


class Commands:
    """Runs commands against one broker and one database.

    Args:
        broker: its bootstrap address.
        url: SQLAlchemy's URL of the database.
        folder: for the commands' own files; it is their working folder.
        logs: folder of their logs.
        settings: further variables of their environment.
    """

    def __init__(self, broker: str, url: str, folder: Path, logs: Path, **settings: str) -> None:
        given = {name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "TRAINING_"))}
        self._environment = given | {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": broker,
            "WORKER_KAFKA_TOPIC": TOPIC,
            "WORKER_KAFKA_DEAD_LETTER_TOPIC": DEAD_LETTERS,
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "6000",  # The embedded broker takes half of it for each join.
            "WORKER_DATABASE_URL": url,
            "WORKER_MODEL_CACHE": str(folder / "cache"),
            "WORKER_HTTP_PORT": "0",
            "TRAINING_DATABASE_URL": url,
            "TRAINING_MODEL_STORE": str(folder / "store"),
            "TRAINING_WORK": str(folder / "runs"),
            **settings,
        }
        self._folder = folder
        self._logs = logs

    def run(self, *words: str) -> str:
        """Run a command to its end and return what it says.

        Raises:
            CommandFailed: it did not end well.
        """
        done = subprocess.run(  # noqa: S603 - the project's own commands.
            self._found(words),
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise CommandFailed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    @contextmanager
    def running(self, *words: str, niceness: int = 0, **options: Any) -> Iterator["Running"]:
        """Run a command in the background; it is ended, by SIGTERM, where the block is left before it ends."""
        name = words[1]
        log, pid_file = self._logs / f"{name}.log", self._folder / f"{name}.pid"
        polite = ["nice", "-n", str(niceness)] if niceness else []
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - as above.
                [*polite, *self._found(words)],
                env=self._environment,
                cwd=self._folder,
                stdout=output,
                stderr=output,
                **options,
            )
        pid_file.write_text(f"{process.pid}\n", encoding="utf-8")
        with end_with_this_process(pid_file):
            try:
                yield Running(process, log)
            finally:
                process.terminate()
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _found(self, words: tuple[str, ...]) -> list[str]:
        return [str(BIN / words[0]), *words[1:]]


class Running:
    """A command that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    def ended(self) -> bool:
        """Say whether it has ended well.

        Raises:
            CommandFailed: it has ended otherwise.
        """
        code = self.process.poll()
        if code:
            words = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise CommandFailed(f"exit code {code}: {words[-1] if words else 'no word'} (all of it: {self.log})")
        return code == 0


class Stream:
    """Says lines again and again at a steady rate, into the standard input of `emotion-worker publish -`.

    Each message is of a session of its own round, so that a row can be told from any other by session and segment;
    every second one has an id, and the others are named for their place in Kafka.

    Args:
        publisher: the command; its standard input is a pipe.
        said: (text, source, speaker) of each line.
        per_second: messages.
    """

    def __init__(self, publisher: Running, said: list[tuple[str, str, str]], per_second: float) -> None:
        self.published = 0
        self._publisher = publisher
        self._said = said
        self._pause_s = 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._say, name="stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say no more, and wait until the broker has all of it."""
        self._stop.set()
        self._thread.join()
        if self._publisher.process.stdin:
            self._publisher.process.stdin.close()
        self._publisher.process.wait(_STOP_S)

    def _say(self) -> None:
        pipe = self._publisher.process.stdin
        due = time.monotonic()
        while pipe and not self._stop.wait(max(0.0, due - time.monotonic())):
            try:
                pipe.write(json.dumps(self._message(self.published), ensure_ascii=False).encode() + b"\n")
                pipe.flush()
            except BrokenPipeError:
                return  # The publisher's own log says why.
            self.published += 1
            due += self._pause_s

    def _message(self, number: int) -> dict[str, Any]:
        text, source, speaker = self._said[number % len(self._said)]
        return {
            **({"id": f"live-{number}"} if number % 2 else {}),
            "text": text,
            "source": source,
            "speaker": speaker,
            "session_id": f"round-{number // len(self._said)}",
            "segment": number % len(self._said),
            "spoken_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

"""Messages flow, labels come in, a retraining runs, the gate decides, and the worker swaps: seen from outside."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from sqlalchemy import create_engine

from examples.loop.commands import DEAD_LETTERS, TOPIC, CommandFailed, Commands, Running, Stream
from examples.loop.picture import draw
from examples.loop.results import Results
from registry.contents import manifest_at
from registry.released import released_model
from schemas.errors import UserError
from schemas.transcripts import InvalidTranscript, decode
from training.retrain.gate import Verdict
from worker.demo.services import EmbeddedUnavailable, embedded_kafka, embedded_postgres
from worker.kafka.topics import create_topics
from worker.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
OUTPUT: Final = ROOT / "build" / "demo-loop"
PICTURE: Final = OUTPUT / "loop.png"

PER_SECOND: Final = 8.0
"""Messages: modest, so that the fit has a machine left to run on."""

_PATIENCE_S: Final = 120
_NICENESS: Final = 10

_BY_HAND: Final = "promoted by hand, to show the swap"

_NEXT: Final = """
[bold]Try next[/bold]
  Label calls of your own:  emotion-training labels export --strategy uncertain -n 300
  Repeat what you saw:      docs/retraining.md, with a broker and a database that stay
  Every week by itself:     emotion-training schedule --cron "0 3 * * 1"
"""


class Demo:
    """The steps, in the order of `play`.

    Args:
        stack: ends what was started.
        console: shows them.
    """

    def __init__(self, stack: ExitStack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._start = time.monotonic()
        self._marks: dict[str, datetime] = {}
        self._say("broker and database start (wheels, on this machine only)")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emotions-loop-")))
        broker, url = stack.enter_context(embedded_kafka()), stack.enter_context(embedded_postgres())
        settings = Settings.load(kafka_bootstrap_servers=broker, kafka_security_protocol="PLAINTEXT")
        create_topics(settings, TOPIC, DEAD_LETTERS)
        engine = create_engine(url)
        stack.callback(engine.dispose)
        self._results = Results(engine)
        self._commands = Commands(broker, url, folder, OUTPUT)
        self._old = manifest_at(str(released_model())).version

    def play(self) -> None:
        """Do all of it, and say what came of it."""
        self._do("emotion-worker", "migrate")
        self._do("emotion-training", "models", "register", str(released_model()))
        self._do("emotion-training", "models", "promote", self._old)
        worker = self._stack.enter_context(self._commands.running("emotion-worker", "run"))
        publisher = self._commands.running("emotion-worker", "publish", "-", stdin=subprocess.PIPE)
        stream = Stream(self._stack.enter_context(publisher), _calls(), PER_SECOND)
        self._await("the model loads, and the first rows come", lambda: self._results.kept().rows, worker)
        self._do("emotion-training", "labels", "import", str(ROOT / "examples" / "labels.csv"))
        self._marks["labels come in"] = datetime.now(UTC)
        verdict = self._retrain(worker)
        new = self._swap(verdict, worker)
        stream.close()
        self._await("the last messages are stored", lambda: self._results.stored() >= stream.published, worker)
        self._summary(stream.published, new, verdict)

    def _retrain(self, worker: Running) -> Verdict:
        """Retrain in a process of its own, which leaves the flow its share of the machine."""
        self._say("$ emotion-training retrain --set folds=0")
        command = self._commands.running("emotion-training", "retrain", "--set", "folds=0", niceness=_NICENESS)
        with command as retraining:
            self._await("a candidate is fitted and judged (minutes)", retraining.ended, worker, patience_s=3600)
        run = self._results.run()
        self._marks |= {"retraining begins": run["started_at"], "the gate decides": run["finished_at"]}
        if "verdict" not in run["details"]:
            raise CommandFailed(f"the retraining was {run['state']}: {run['reason']}")
        verdict = msgspec.convert(run["details"]["verdict"], Verdict)
        self._quote(verdict.lines()[0])
        return verdict

    def _swap(self, verdict: Verdict, worker: Running) -> str:
        """See the candidate serve; where the gate said no, by hand and only for a while. Return its version."""
        results, new = self._results, str(self._results.run()["model_version"])
        if not verdict.promoted:
            self._say(f"the gate said no, so nothing would change; {_BY_HAND}, and rolled back after it:")
            self._do("emotion-training", "models", "promote", new)
        self._await("the worker swaps, while messages flow", lambda: results.rows_by(new), worker)
        self._await("it says the same calls again", lambda: results.rows_by(new) >= len(_calls()), worker)
        if not verdict.promoted:
            self._do("emotion-training", "models", "rollback")
            self._await("the worker swaps back", lambda: results.latest() == self._old, worker)
        return new

    def _summary(self, published: int, new: str, verdict: Verdict) -> None:
        """Draw the picture, and say in numbers what came of it."""
        results, print_ = self._results, self._console.print
        outcome = "promoted by the gate" if verdict.promoted else f"rejected by the gate; {_BY_HAND}"
        stretches = results.stretches()
        self._marks |= zip(("the worker swaps", "and back"), (each.first for each in stretches[1:]), strict=False)
        draw(
            PICTURE,
            versions=(self._old, new),
            moments=results.moments(),
            marks=self._marks,
            checks=verdict.checks,
            same_texts=results.same_texts(self._old, new),
            headline=f"{new}: {outcome}",
        )
        kept = results.kept()
        lost, doubled = published - kept.messages, kept.rows - kept.messages
        print_(
            f"\n[bold]{published} messages published, {kept.rows} rows stored: {lost} lost, {doubled} doubled[/bold]"
        )
        for each in stretches:
            print_(f"  {each.rows:5} rows by {each.version}, {each.first:%H:%M:%S} to {each.last:%H:%M:%S}")
        seconds = (self._marks["the worker swaps"] - results.promoted_at(new)).total_seconds()
        print_(f"  The first row of the new model was stored {seconds:.1f} s after its promotion.")
        print_(f"\n[bold]{new}: {outcome}[/bold]", soft_wrap=True)
        for line in verdict.lines():
            print_(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        print_(f"\nThe picture: {PICTURE}\nLogs of the commands lie next to it.", soft_wrap=True)
        print_(_NEXT, highlight=False, soft_wrap=True)
        if lost or doubled:
            raise CommandFailed("messages were lost or doubled, which must not be: please report it with the logs")

    def _do(self, *words: str) -> None:
        self._say(f"$ {' '.join(words)}")
        for line in self._commands.run(*words).splitlines():
            self._quote(line)

    def _await(self, what: str, there: Callable[[], Any], worker: Running, *, patience_s: float = _PATIENCE_S) -> None:
        """Show how the flow goes on until something is there."""
        self._say(what)
        start = time.monotonic()
        with self._console.status("") as status:
            while not there():
                if worker.ended() or time.monotonic() > start + patience_s:
                    raise CommandFailed(f"waited {time.monotonic() - start:.0f} s in vain; see {OUTPUT}")
                done = ", ".join(self._results.run().get("details", {}).get("seconds", ()))
                status.update(
                    f"{self._results.kept().rows} rows, {time.monotonic() - start:.0f} s"
                    + (f", the retraining's steps so far: {done}" if done else "")
                )
                time.sleep(0.25)

    def _quote(self, line: str) -> None:
        self._console.print(f"          {line}", markup=False, highlight=False, soft_wrap=True)

    def _say(self, what: str) -> None:
        passed = time.monotonic() - self._start
        self._console.print(f"[dim]{passed:6.0f} s[/dim]  {what}", highlight=False, soft_wrap=True)


def _calls() -> list[tuple[str, str, str]]:
    """Return the sample calls, without those lines that are bad on purpose."""
    found = []
    for line in (ROOT / "examples" / "transcripts.jsonl").read_bytes().splitlines():
        try:
            said = decode(line, timestamp_ms=0)
        except InvalidTranscript:
            continue
        found.append((said.text, said.source or "calls", said.speaker or "customer"))
    return found


def main() -> None:
    """Run the demo; leave nothing running, in any end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    console = Console()
    try:
        with ExitStack() as stack:
            Demo(stack, console).play()
    except (CommandFailed, EmbeddedUnavailable, UserError) as error:
        console.print(f"demo-loop: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

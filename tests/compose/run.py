"""Start compose.yaml for real and see that it does what it says: `make test-compose`, wherever Docker runs.

Images are built from the Dockerfile; those that cannot be pulled are stood in for (substitutes.py). What is looked at:
transcripts become rows through the containers, workers scale and share the load, what is no transcript becomes a dead
letter, Prometheus finds all workers and its rules hold, labels come in, a retraining in the trainer's container makes
a new champion, the workers swap to it and back while messages flow, and of all messages none is lost and none doubled.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from services import wait_for
from stack import ROOT, Stack, compose_command
from substitutes import provide, withdraw

from schemas.transcripts import InvalidTranscript, decode

PROJECT: Final = "asr-emotions-test"
IMAGES: Final = {"worker": "asr-emotions", "trainer": "asr-emotions-trainer"}
PATIENCE_S: Final = 300
WORKERS: Final = 2

RULES: Final = Path(__file__).with_name("alerts_test.yml")

# Small enough for two cores, and a gate that lets through whatever comes: what it decides has tests of its own, and
# here a promotion is wanted.
QUICK: Final = (
    "min_labels=50",
    "learning.epochs.other=1",
    "teaching.folds=0",
    "gate.margin=-1",
    "gate.fall=1",
    "gate.growth=10",
    "gate.calibration=1",
)

WORDS: Final = {
    "anger": ("злюсь", "бесит", "возмущена"),
    "disgust": ("противно", "мерзко", "тошно"),
    "fear": ("страшно", "боюсь", "тревожно"),
    "joy": ("рада", "счастлив", "здорово"),
    "sadness": ("грустно", "плачу", "тоскливо"),
    "surprise": ("неожиданно", "удивлена", "надо же"),
    "neutral": ("записываю", "диктую", "уточняю"),
}
OPENINGS: Final = ("ну", "я сегодня", "вот", "знаете", "мне очень")
ENDINGS: Final = ("и всё", "правда", "опять", "после звонка", "честное слово")


def say(text: str) -> None:
    """Print a line with the time that has passed."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {text}", flush=True)  # noqa: T201 - what the run is for.


def await_(what: str, predicate: Callable[[], Any]) -> Any:
    """Wait for something, and say it and how long it took."""
    start = time.monotonic()
    answer = wait_for(predicate, what, timeout_s=PATIENCE_S)
    say(f"{what}: {answer} ({time.monotonic() - start:.1f} s)")
    return answer


def build() -> list[str]:
    """Build both images from the Dockerfile; return the names of the images that something stands in for."""
    whole = subprocess.run(
        [*compose_command(), "--profile", "observability", "--file", str(ROOT / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # Not `config --images`, which Compose 1 does not know.
    compose = [service["image"] for service in yaml.safe_load(whole)["services"].values()]
    named = {stage: next(name for name in compose if stage in name) for stage in ("kafka", "postgres", "prometheus")}
    substitutes = provide({"python": "python:3.12-slim", **named})
    say(f"images that something stands in for: {', '.join(substitutes) or 'none'}")
    for target, name in IMAGES.items():
        subprocess.run(["docker", "build", "--target", target, "--tag", name, str(ROOT)], check=True)
        say(f"built {name}")
    return substitutes


def samples() -> tuple[list[str], list[str]]:
    """Return the sample calls' lines, and those among them that are no transcripts."""
    lines = (ROOT / "examples" / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    broken = []
    for line in lines:
        try:
            decode(line.encode(), timestamp_ms=0)
        except InvalidTranscript:
            broken.append(line)
    return lines, broken


LINES, BROKEN = samples()
# Without ids of their own, so that said again they are rows again.
CALLS: Final = [
    json.dumps({"text": json.loads(line)["text"], "source": "again"}, ensure_ascii=False)
    for line in LINES
    if line not in BROKEN
]


def labels() -> Iterator[str]:
    """Make labelled texts, as JSON lines."""
    for emotion, words in WORDS.items():
        for parts in itertools.product(OPENINGS, words, ENDINGS):
            yield json.dumps({"text": " ".join(parts), "emotions": [emotion]}, ensure_ascii=False)


class Callers:
    """A thread that publishes the sample calls again and again."""

    def __init__(self, stack: Stack) -> None:
        self.published = 0
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def _call(self) -> None:
        while not self._stop.is_set():
            self.published += self._stack.publish(CALLS)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Let them call while the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def flow(stack: Stack) -> int:
    """Transcripts become rows, and what is none a dead letter; return how many rows there are."""
    stack.up("kafka", "postgres", "worker")
    await_("the worker is ready", lambda: stack.ask("worker", 8080, "/readyz").strip())
    assert stack.ask("worker", 8080, "/healthz") == "ok\n"
    sent = stack.publish(LINES) - len(BROKEN)
    await_(f"{sent} transcripts are rows", lambda: stack.rows() == sent)
    for source, count, joy in stack.query(
        "SELECT source, count(*), round(max(joy)::numeric, 2) FROM emotion_results GROUP BY 1 ORDER BY 1"
    ):
        say(f"  {source}: {count} rows, joy up to {joy}")
    for line in stack.worker("dead-letters", "list").splitlines():
        say(f"  {line}")
    return sent


def scale(stack: Stack) -> int:
    """Several workers share the partitions; return how many rows were added."""
    stack.up("worker", scale=WORKERS)
    for index in range(1, WORKERS + 1):
        await_(f"worker {index} is ready", lambda index=index: stack.ask("worker", 8080, "/readyz", index).strip())
    before = stack.rows()
    sent = stack.publish(CALLS * 3)
    await_(f"{sent} more transcripts are rows", lambda: stack.rows() == before + sent)
    return sent


def observe(stack: Stack) -> None:
    """Prometheus finds every worker, what it measures adds up, and the rules do what they say."""
    mount = f"{RULES}:/etc/prometheus/alerts_test.yml:ro"
    for check in (("check", "config", "/etc/prometheus/prometheus.yml"), ("test", "rules", mount.split(":")[1])):
        stack.compose("run", "--rm", "-T", "--volume", mount, "--entrypoint", "promtool", "prometheus", *check)
        say(f"promtool {' '.join(check)}: ok")
    stack.up("prometheus")
    await_(f"Prometheus reads {WORKERS} workers", lambda: len(stack.measured("up == 1")) == WORKERS)
    shares = wait_for(lambda: stack.measured("emotion_records_total"), "records", timeout_s=PATIENCE_S)
    say("records of each worker: " + ", ".join(series["value"][1] for series in shares))


def learn(stack: Stack) -> str:
    """Labels come in and a retraining makes a champion, from the one before; return its version."""
    stack.up("trainer")
    released = stack.trainer("models", "register", "/venv/share/asr-emotions/models/ru-emotions-small").split()[0]
    say(stack.trainer("models", "promote", released).strip())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.jsonl"
        file.write_text("\n".join(labels()), encoding="utf-8")
        Path(folder).chmod(0o755)
        mount = ["--volume", f"{file}:/labels.jsonl:ro"]
        say(
            stack.compose(
                "run", "--rm", "-T", "--no-deps", *mount, "trainer", "labels", "import", "/labels.jsonl"
            ).strip()
        )
    start = time.monotonic()
    said = stack.trainer("retrain", "--force", "--set", *QUICK).strip().splitlines()[-1]
    say(f"retrain: {said} ({time.monotonic() - start:.0f} s)")
    for line in stack.trainer("models", "list").splitlines() + stack.trainer("runs", "list").splitlines():
        say(f"  {line}")
    ((champion,),) = stack.query("SELECT version FROM model_versions WHERE state = 'champion'")
    assert champion != released, "the gate was open, and yet there is no new champion"
    return champion


def swapped(stack: Stack, version: str) -> None:
    """Wait until all workers serve a version, and rows name it."""
    await_(
        f"all workers serve {version}",
        lambda: all(stack.versions(index) == {version} for index in range(1, WORKERS + 1)),
    )
    since = stack.query("SELECT now()")[0][0]
    condition = f"model_version = '{version}' AND processed_at > '{since}'"
    await_(
        f"rows name {version}",
        lambda: int(stack.query(f"SELECT count(*) FROM emotion_results WHERE {condition}")[0][0]),  # noqa: S608 - ours.
    )


def check(stack: Stack) -> None:
    """The whole story."""
    sent = flow(stack) + scale(stack)
    observe(stack)
    callers = Callers(stack)
    with callers.calling():
        before = next(iter(stack.versions()))
        champion = learn(stack)
        swapped(stack, champion)
        say(stack.trainer("models", "rollback").strip())
        swapped(stack, before)
        stack.up("worker", scale=1)
        say("all workers but one are gone")
    sent += callers.published
    await_(f"all {sent} transcripts are rows, each once", lambda: stack.rows() == sent)
    for version, count in stack.query("SELECT model_version, count(*) FROM emotion_results GROUP BY 1"):
        say(f"  {count} by {version}")


def main() -> int:
    """Build, check, take down; return 0 if all held."""
    substitutes = build()
    stack = Stack(PROJECT)
    stack.down()
    try:
        check(stack)
    except Exception:  # noqa: BLE001 - the entry point: whatever it is, it is shown with the containers' words.
        traceback.print_exc()
        print(stack.logs())  # noqa: T201 - as above.
        return 1
    finally:
        stack.down()
        withdraw(substitutes)
        say("all is down")
    return 0


STARTED: Final = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())

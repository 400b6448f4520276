"""A whole worker, all real but for the model, which may be told to die or dawdle.

`main` is run in a process of its own (`forked.py`), with the worker's settings in the environment, and

STUB_DIES_AT=GAP             kill -9 itself there; GAPS says where that is
STUB_DIES_AFTER=N            when it passes there for the Nth time
STUB_SECONDS=S               each chunk takes the model so long
STUB_FOLLOWS=1               serve the registry's champion: a stub that bears its name
STUB_BACKFILL=SINCE/UNTIL    read that period again, as `emotion-worker backfill` does, in milliseconds since the epoch
STUB_HASTY=1                 look for a broker for 4 seconds, not 10, ask for the lag and for the stored offsets
                             each second, not each tenth, and for new partitions each two seconds, not each thirty
STUB_FINISHES=1              finish and tell Kafka however long that takes
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import structlog
from fakes import StubClassifier
from numpy.typing import NDArray

from registry.versions import ModelVersion
from schemas.errors import UserError
from worker import loop, run
from worker.backfill import Period, backfill
from worker.batching import Batcher
from worker.dead_letters.send import DeadLetters
from worker.errors import RejectedData
from worker.kafka import consumer, patches
from worker.kafka.consumer import KafkaSource
from worker.kafka.results import Results
from worker.observability.logs import configure_logs
from worker.observability.metrics import Metrics
from worker.records import Classifier
from worker.run import run_worker
from worker.settings import Settings
from worker.stages import Inference, Stages, Storage
from worker.storage.store import ResultStore

# Between which steps the process can die: just before a call, or just after it.
GAPS: dict[str, tuple[type, str, str]] = {
    "polled, not batched": (Batcher, "add", "before"),
    "batched, not handed over": (Stages, "submit", "before"),
    "handed over, not classified": (Inference, "__call__", "before"),
    "classified, not stored": (Storage, "__call__", "before"),
    "offsets moved, rows not inserted": (ResultStore, "_move", "after"),
    "rows inserted, dead letters not sent": (DeadLetters, "send", "before"),
    "dead letters sent, not committed to Postgres": (DeadLetters, "send", "after"),
    "committed to Postgres, not reported": (ResultStore, "write", "after"),
    "reported, not committed to Kafka": (KafkaSource, "commit", "before"),
    "committed to Kafka": (KafkaSource, "commit", "after"),
    "claimed, not read": (KafkaSource, "begin", "before"),
}

# With WORKER_KAFKA_RESULTS_TOPIC alone.
RESULT_GAPS: dict[str, tuple[type, str, str]] = {
    "dead letters sent, results not sent": (Results, "send", "before"),
    "results sent, not committed to Postgres": (Results, "send", "after"),
}


class Slow(StubClassifier):
    """Takes its time, and fails where it is told to."""

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        structlog.get_logger().debug("classifying")
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        for text in texts:
            if text.startswith("взрыв"):
                raise KeyError(text)
            if text.startswith("отказ"):
                raise RejectedData(f"the model fails on {text}") from ValueError(text)
        return super().classify(texts)


def die_at(gap: str, passes: int) -> None:
    owner, name, when = (GAPS | RESULT_GAPS)[gap]
    original: Callable[..., Any] = getattr(owner, name)
    numbers = count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        last = next(numbers) == passes  # Two storages may pass at the same time.
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


def hurry() -> None:
    """Wait less where only time would pass; never so little that a busy machine looks like a broker that is away."""
    patches.FIRST_CONTACT_MS = 4_000
    loop._LAG_EVERY_S = 1.0
    loop._VERIFY_EVERY_S = 1.0
    consumer._METADATA_AGE_MS = 2_000


def finish() -> None:
    """Give the services of a busy machine the time to answer after a signal."""
    loop._FINISH_WITHIN_S = 60.0
    loop._PARTING_S = 30.0


def follow() -> None:
    """Load stubs in place of the registry's bundles, which need not be there."""

    def load(_: Settings, __: Metrics | None, row: ModelVersion) -> Classifier:
        stub = Slow()
        stub.version = row.version
        return stub

    run.load_version = load
    run.load_classifier = lambda *_: Slow()


def main() -> None:
    """Run the worker as the environment says."""
    Slow.version = os.environ.get("STUB_VERSION", StubClassifier.version)
    configure_logs("debug")
    if "STUB_HASTY" in os.environ:
        hurry()
    if "STUB_FINISHES" in os.environ:
        finish()
    if follows := "STUB_FOLLOWS" in os.environ:
        follow()
    if gap := os.environ.get("STUB_DIES_AT"):
        die_at(gap, int(os.environ.get("STUB_DIES_AFTER", "1")))
    classifier = None if follows else Slow()
    try:
        if period := os.environ.get("STUB_BACKFILL"):
            since, until = (datetime.fromtimestamp(int(each) / 1000, UTC) for each in period.split("/"))
            backfill(Settings.load(), Period(since, until), rate=2_000, classifier=classifier)
        else:
            run_worker(Settings.load(), classifier)
    except UserError as error:
        structlog.get_logger().error(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()

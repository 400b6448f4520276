"""A whole worker in a process of its own, all real but for the model, which may be told to die or dawdle.

python stub_worker.py        with the worker's settings in the environment, and

STUB_DIES_AT=GAP             kill -9 itself there; GAPS says where that is
STUB_DIES_AFTER=N            when it passes there for the Nth time
STUB_SECONDS=S               each chunk takes the model so long
STUB_HASTY=1                 look for a broker for 4 seconds, not 10, and ask for the lag each second, not each tenth
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import structlog
from fakes import StubClassifier
from numpy.typing import NDArray

from worker import kafka_mends, pipeline
from worker.batching import Batcher
from worker.composition import run_worker
from worker.dead_letters import DeadLetters
from worker.errors import WorkerError
from worker.logs import configure_logs
from worker.settings import Settings
from worker.source import KafkaSource
from worker.stages import Inference, Stages, Storage
from worker.store import ResultStore

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


class Slow(StubClassifier):
    version = os.environ.get("STUB_VERSION", StubClassifier.version)

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        structlog.get_logger().debug("classifying")
        time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
        return super().classify(texts)


def die_at(gap: str, passes: int) -> None:
    owner, name, when = GAPS[gap]
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
    kafka_mends.FIRST_CONTACT_MS = 4_000
    pipeline._LAG_EVERY_S = 1.0


if __name__ == "__main__":
    configure_logs("debug")
    if "STUB_HASTY" in os.environ:
        hurry()
    if gap := os.environ.get("STUB_DIES_AT"):
        die_at(gap, int(os.environ.get("STUB_DIES_AFTER", "1")))
    try:
        run_worker(Settings.load(), Slow())
    except WorkerError as error:
        structlog.get_logger().error(str(error))
        sys.exit(2)

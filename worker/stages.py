"""The threads behind the main one: `inference` owns the model, each `storage` a connection to the database."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import stamina
import structlog

from schemas.emotions import EMOTIONS
from worker.bisection import bisect
from worker.database import DatabaseAway
from worker.dead_letter_limit import DeadLetterLimit
from worker.dead_letters import DeadLetters
from worker.errors import Away
from worker.metrics import Metrics
from worker.records import Chunk, Claim, Claimed, Classifier, Rejected, Utterance, lane
from worker.serving import Serving
from worker.store import ResultStore

log = structlog.get_logger(__name__)

_STOP: Final = None
_RETRY_AT_MOST_S: Final = 5.0

CHUNKS_UNSTORED: Final = 3
"""So many may be classified and not stored: a storage has one in hand, one waits for it, one is dealt."""

Work = Chunk | tuple[Claim, ...]
Done = Chunk | tuple[Claimed, ...]
Storing = Callable[[Work], Done]
"""What a storage thread does with its part of the work."""


class _Parted(NamedTuple):
    """Word to the main thread that a piece of work goes on in several parts."""

    parts: int


def _parted(work: Work, count: int) -> Mapping[int, Work]:
    if isinstance(work, Chunk):
        return work.parts(count)
    parts: dict[int, tuple[Claim, ...]] = {}
    for claim in work:
        number = lane(claim.partition, count)
        parts[number] = (*parts.get(number, ()), claim)
    return parts or {0: ()}


class Stages:
    """Chunk n is stored while n+1 is classified and n+2 waits; claims pass through the same queues in order.

    With several storages a chunk is parted by partition, and each stores its partitions, always the same: what
    belongs to a partition keeps its order. `submit` and `done` are called by the main thread, never block, and raise
    what a stage died of.

    Args:
        inference: what the first thread does with each piece of work.
        storages: what each further thread does with its part of it.
    """

    def __init__(self, inference: Callable[[Work], Work], *storages: Storing) -> None:
        self._to_inference: queue.Queue[Work | None] = queue.Queue(maxsize=1)
        self._to_storage: list[queue.Queue[Work | None]] = [queue.Queue(maxsize=1) for _ in storages]
        self._done: queue.SimpleQueue[Done | _Parted] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._in_flight = 0
        # One number for each thread, which alone writes it.
        self._steps: dict[str, int] = {}
        self._threads = [self._thread("inference", self._to_inference, inference, self._deal)]
        for number, (source, storage) in enumerate(zip(self._to_storage, storages, strict=True), 1):
            self._threads.append(self._thread(f"storage-{number}", source, storage, self._finish))

    @property
    def full(self) -> bool:
        """Whether `submit` would find no place."""
        return self._to_inference.full()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return self._in_flight == 0

    @property
    def running(self) -> bool:
        """Whether a thread has not ended: it waits for work, or is in the middle of some."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def steps(self) -> int:
        """How often a stage has finished a chunk or a claim; it grows while any stage gets on."""
        return sum(self._steps.values())

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work) -> None:
        """Hand over a chunk or a claim; the caller has seen that the stages are not full."""
        self._to_inference.put_nowait(work)
        self._in_flight += 1

    def done(self) -> Iterator[Done]:
        """Yield the chunks stored and the claims answered since the last call.

        Raises:
            BaseException: whatever a stage died of.
        """
        while True:
            try:
                item = self._done.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, _Parted):
                self._in_flight += item.parts - 1
                continue
            self._in_flight -= 1
            yield item
        if self._failure is not None:
            raise self._failure

    def close(self, timeout_s: float) -> None:
        """End the threads where nothing is in flight; one that is busy is left behind, as a daemon."""
        if self.idle:
            deadline = time.monotonic() + timeout_s
            self._to_inference.put(_STOP)
            for thread in self._threads:
                thread.join(max(0, deadline - time.monotonic()))

    def _deal(self, work: Work | None) -> None:
        """Give each storage its part."""
        if work is _STOP:
            for place in self._to_storage:
                place.put(_STOP)
            return
        parts = _parted(work, len(self._to_storage))
        if len(parts) > 1:
            self._done.put(_Parted(len(parts)))  # Before any part is done, or all would look done too early.
        for number, part in parts.items():
            self._to_storage[number].put(part)

    def _finish(self, item: Done | None) -> None:
        if item is not _STOP:
            self._done.put(item)

    def _thread(
        self, name: str, source: queue.Queue[Work | None], stage: Callable[[Work], Any], sink: Callable[[Any], None]
    ) -> threading.Thread:
        self._steps[name] = 0

        def run() -> None:
            try:
                while (work := source.get()) is not _STOP:
                    done = stage(work)
                    self._steps[name] += 1
                    sink(done)
                sink(_STOP)
            except BaseException as error:  # noqa: BLE001 - a thread's entry point: the main thread raises it.
                self._failure = self._failure or error

        return threading.Thread(target=run, name=name, daemon=True)


class Inference:
    """Give each utterance of a chunk its scores and its emotions."""

    def __init__(self, serving: Serving, metrics: Metrics, most_in_a_row: int | None) -> None:
        self._serving = serving
        self._metrics = metrics
        self._most_in_a_row = most_in_a_row
        # A chunk holds few of the 128 sets of seven emotions: rows share their lists.
        self._sets = [
            [emotion for bit, emotion in enumerate(EMOTIONS) if number >> bit & 1]
            for number in range(2 ** len(EMOTIONS))
        ]
        self._bits = 2 ** np.arange(len(EMOTIONS))

    def __call__(self, work: Work) -> Work:
        """Classify a chunk; pass a claim on."""
        if isinstance(work, Chunk):
            log.debug("classifying a chunk", records=len(work))
            # One model for all of it, whatever takes its place meanwhile.
            classifier = self._serving.classifier
            work.model_version = classifier.version
            with self._metrics.stage("inference"):
                spoken = [item for item in work.utterances if item.text]
                culprits = bisect(spoken, partial(self._classify, classifier), self._most_in_a_row)
            if culprits:
                work.rejected += [Rejected(item.record, "classify", error) for item, error in culprits]
                bad = {id(item) for item, _ in culprits}
                work.utterances = [item for item in work.utterances if id(item) not in bad]
        return work

    def _classify(self, classifier: Classifier, utterances: Sequence[Utterance]) -> None:
        scores = classifier.classify([item.text for item in utterances])
        numbers = ((scores >= classifier.thresholds) @ self._bits).tolist()
        for item, number, row in zip(utterances, numbers, scores.tolist(), strict=True):
            item.emotions = self._sets[number]
            item.scores = row


class Storage:
    """Store chunks and answer claims, through any outage of the database or of the dead-letter topic."""

    def __init__(self, store: ResultStore, dead_letters: DeadLetters, limit: DeadLetterLimit, metrics: Metrics) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._limit = limit
        self._metrics = metrics

    def __call__(self, work: Work) -> Done:
        """Do it, again and again while something is away; polling goes on meanwhile."""
        for attempt in stamina.retry_context(
            on=Away, attempts=None, timeout=None, wait_initial=0.1, wait_max=_RETRY_AT_MOST_S, wait_jitter=1.0
        ):
            with attempt, self._metrics.stage("storage"):
                try:
                    return self._write(work) if isinstance(work, Chunk) else self._store.claim(work)
                except Away as error:
                    # Of Kafka there is here only the producer of dead letters.
                    what = "postgres" if isinstance(error, DatabaseAway) else "kafka"
                    self._metrics.outages.labels(what).inc()
                    raise
        raise AssertionError("retries have no end")

    def _write(self, chunk: Chunk) -> Chunk:
        self._store.write(chunk, self._bury)
        self._metrics.stored(chunk)
        return chunk

    def _bury(self, rejected: Sequence[Rejected]) -> None:
        self._limit.bury(rejected)
        self._dead_letters.send(rejected)

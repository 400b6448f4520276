"""The threads behind the main one: `inference` owns the model, each `storage` a connection to the database."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from registry.postgres import DatabaseAway
from schemas.languages import is_foreign
from worker.backoff import pauses
from worker.claims import Claim, Claimed
from worker.dead_letters.send import DeadLetters
from worker.errors import Away
from worker.inference.assign import assign_emotions
from worker.inference.model_slot import Serving
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.records import ANOTHER_LANGUAGE, Chunk, Classifier, Rejected, Utterance, all_parts, storage_index
from worker.storage.bisect import bisect
from worker.storage.circuit_breaker import DeadLetterLimit
from worker.storage.store import ResultStore

log = structlog.get_logger(__name__)

_STOP: Final = None

CHUNKS_UNSTORED: Final = 3
"""So many may be classified and not stored: a storage has one in hand, one waits for it, one is dealt."""

_MOST_WARNINGS: Final = 20
"""Languages that a worker warns of: what is no language may be any text."""

Work = Chunk | tuple[Claim, ...]
Done = Chunk | tuple[Claimed, ...]
Storing = Callable[[Work], Done]
"""What a storage thread does with its part of the work."""


class _Parted(NamedTuple):
    """Word to the main thread that a piece of work goes on in several parts."""

    parts: int


def _split_work(work: Work, count: int) -> Mapping[int, Work]:
    if isinstance(work, Chunk):
        return work.parts(count)
    parts: dict[int, tuple[Claim, ...]] = {}
    for claim in work:
        number = storage_index(claim.partition, count)
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
        """How often a stage has finished a chunk or a claim; it grows while any stage gets on.

        A chunk that only asks is no step: while records wait and none comes, it would look like progress.
        """
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
            BaseException: the error that a stage died of.
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
        parts = _split_work(work, len(self._to_storage))
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
                    step = not (isinstance(work, Chunk) and work.only_asks)
                    done = stage(work)
                    self._steps[name] += step
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
        self._foreign: set[str | None] = set()

    def __call__(self, work: Work) -> Work:
        """Classify a chunk; pass a claim on."""
        if isinstance(work, Chunk):
            log.debug("classifying a chunk", records=len(work))
            # One model for all of it, even where another takes its place meanwhile.
            classifier = self._serving.classifier
            work.model_version, work.convention = classifier.version, classifier.convention
            with self._metrics.stage("inference"):
                self._leave_out_foreign(all_parts(work.utterances), classifier.language)
                # A record of several parts is rejected as a whole: it has all of its rows, or one dead letter.
                spoken = [item for item in work.utterances if item.rest or item.is_scored]
                culprits = bisect(spoken, partial(self._classify, classifier), self._most_in_a_row)
            if culprits:
                work.rejected += [Rejected(item.record, "classify", error) for item, error in culprits]
                bad = {id(item) for item, _ in culprits}
                work.utterances = [item for item in work.utterances if id(item) not in bad]
        return work

    def _leave_out_foreign(self, utterances: Sequence[Utterance], language: str) -> None:
        """Mark transcripts of another language than the model's, and warn once of each such language."""
        for item in utterances:
            tag = item.transcript.language
            if is_foreign(tag, language):
                item.not_scored = ANOTHER_LANGUAGE
                if tag not in self._foreign and len(self._foreign) < _MOST_WARNINGS:
                    self._foreign.add(tag)
                    log.warning(
                        "transcripts of another language than the model's are stored without scores",
                        language=tag,
                        model_language=language,
                    )

    def _classify(self, classifier: Classifier, utterances: Sequence[Utterance]) -> None:
        parts = [part for part in all_parts(utterances) if part.is_scored]
        if not parts:
            return
        scores, windows = classifier.classify_windows([part.text for part in parts])
        emotions = assign_emotions(classifier.rule, scores)
        for part, assigned, row, count in zip(parts, emotions, scores.tolist(), windows, strict=True):
            part.emotions, part.scores, part.windows = assigned, row, count


class Storage:
    """Store chunks and answer claims, through any outage of the database or of a topic that is written to."""

    def __init__(
        self,
        store: ResultStore,
        dead_letters: DeadLetters,
        limit: DeadLetterLimit,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._limit = limit
        self._metrics = metrics
        self._health = health

    def __call__(self, work: Work) -> Done:
        """Do it, again and again while something is away; polling goes on meanwhile."""
        for failures, pause_s in enumerate(pauses(), 1):
            try:
                with self._metrics.stage("storage"):
                    done = self._write(work) if isinstance(work, Chunk) else self._store.claim(work)
            except Away as error:
                # Of Kafka there are here only the producers of dead letters and results.
                what = "postgres" if isinstance(error, DatabaseAway) else "kafka"
                self._metrics.outages.labels(what).inc()
                self._health.note_absence(what, str(error))
                log.warning(
                    "a service is away: the chunk waits and is stored when it is back; polling goes on",
                    error=str(error),
                    attempt=failures,
                    in_seconds=round(pause_s, 2),
                )
                time.sleep(pause_s)
                continue
            for what in ("postgres", "kafka"):
                self._health.note_return(what)
            return done
        raise AssertionError("pauses have no end")

    def _write(self, chunk: Chunk) -> Chunk:
        self._store.write(chunk, self._send_dead_letters)
        self._metrics.stored(chunk)
        self._metrics.fenced_records.inc(chunk.fenced_records)
        return chunk

    def _send_dead_letters(self, rejected: Sequence[Rejected]) -> None:
        self._limit.count_dead_letters(rejected)
        self._dead_letters.send(rejected)

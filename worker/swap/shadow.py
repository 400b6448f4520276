"""The shadow: a share of what is stored is scored by a candidate too, outside the flow and never in its way."""

import hashlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from registry.postgres import DatabaseAway
from registry.versions import ModelVersion
from schemas.errors import UserError
from schemas.languages import is_foreign
from worker.backoff import RetryLater
from worker.errors import ConfigurationError, loggable_text
from worker.inference.assign import score
from worker.observability.metrics import Metrics
from worker.records import Chunk, Classifier, Identity, all_parts
from worker.stages import Done, Storing, Work
from worker.storage.bisect import bisect
from worker.storage.scores import ShadowStore

log = structlog.get_logger(__name__)

_STOP: Final = None
_WAITING: Final = 2
"""Shares of chunks that may wait; of chunks beyond, nothing is scored."""

_REST: Final = 12
"""How many times as long as it works the shadow rests.

Work is the thread's own time on a CPU, waiting for a GPU included: meanwhile its model has all cores at most. So it
takes at most 1/13 of the machine, 7.7 %, where 10 % are allowed.
"""

_LOWEST: Final = 19
"""Priority among threads: the lowest; source: setpriority(2), by which Linux gives each thread its own."""

# Texts at once: few enough that a piece holds the cores for a moment only, and a GPU still gets enough of them.
_SHORT_S: Final = 0.02
_LONG_S: Final = 0.08
_FEWEST: Final = 8
_MOST: Final = 512


class _Offer(NamedTuple):
    """The share of a chunk; all else of the chunk is let go."""

    model_version: str
    texts: list[tuple[Identity, str]]
    """Identities and normalized texts."""


class Shadow:
    """Let the newest candidate score a share of the traffic; the flow goes on even where it fails.

    The storage threads offer what is stored. A thread named `shadow` owns the candidate and a connection to the
    database; it follows the registry by a poll, so that candidates may come and go. What it cannot do in time, or at
    all, is counted and left out: a comparison needs a sample.

    Args:
        store: where candidates are found and scores go.
        load: makes a version ready to classify.
        share: share of the transcripts to score, 0 to 1; all workers choose the same ones.
        metrics: counts what becomes of them.
        poll_s: seconds between two looks at the registry.
    """

    def __init__(
        self,
        store: ShadowStore,
        load: Callable[[ModelVersion], Classifier],
        share: float,
        metrics: Metrics,
        poll_s: float,
    ) -> None:
        self._store = store
        self._load = load
        self._share = share
        self._metrics = metrics
        self._poll_s = poll_s
        self._offers: queue.Queue[_Offer | None] = queue.Queue(_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._candidate: ModelVersion | None = None
        self._classifier: Classifier | None = None
        self._look_due = 0.0
        self._refused = RetryLater(poll_s)
        self._piece = _FEWEST
        self._said: set[str] = set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, chunk: Chunk) -> None:
        """Hand over the share of a chunk that is stored; never blocks."""
        classifier = self._classifier
        if classifier is None:
            return
        if not self._offers.full():  # Choosing takes a moment, and there is mostly no place.
            texts = [
                (part.identity, part.text)
                for part in all_parts(chunk.utterances)
                if part.is_scored
                and not is_foreign(part.transcript.language, classifier.language)
                and is_sampled(part.id, self._share)
            ]
            with suppress(queue.Full):
                self._offers.put_nowait(_Offer(chunk.model_version, texts))
                return
        self._metrics.shadow.labels("dropped").inc(self._share * len(chunk.utterances))

    def after(self, storage: Storing) -> Storing:
        """Return a storage whose chunks are offered, too."""

        def store(work: Work) -> Done:
            done = storage(work)
            if isinstance(done, Chunk):
                self.offer(done)
            return done

        return store

    def close(self, timeout_s: float) -> None:
        """End the thread; where it is in the middle of something it is left behind, as a daemon."""
        self._stopping.set()
        with suppress(queue.Full):  # Then it is busy, and looks at the event afterwards.
            self._offers.put_nowait(_STOP)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        _step_back()
        while not self._stopping.is_set():
            try:
                self._look()
                self._take()
            except Exception as error:  # noqa: BLE001 - the thread's entry point: no fault here may touch the flow.
                self._complain(error)
                self._stopping.wait(self._poll_s)

    def _look(self) -> None:
        """Follow the registry."""
        if time.monotonic() < self._look_due:
            return
        self._look_due = time.monotonic() + self._poll_s
        candidate = self._store.candidate()
        if candidate == self._candidate and (self._classifier or self._refused.rests(candidate)):
            return
        self._classifier = None  # The device gets its memory back before the next one needs it.
        if candidate != self._candidate:
            self._said.clear()
        self._candidate = candidate
        if candidate:
            start = time.thread_time()
            try:
                self._classifier = self._load(candidate)
            except Exception as error:
                self._rest(start)  # It will be tried again.
                if isinstance(error, ConfigurationError):
                    self._refused.add(candidate)
                raise
            log.info("the shadow scores with a candidate", model_version=candidate.version, share=self._share)

    def _take(self) -> None:
        """Wait for a share until the next look is due, and score it."""
        try:
            offer = self._offers.get(timeout=max(0.0, self._look_due - time.monotonic()))
        except queue.Empty:
            return
        classifier = self._classifier
        if offer is _STOP or classifier is None or offer.model_version == classifier.version:
            return
        texts = offer.texts
        try:
            while texts and not self._stopping.is_set():
                piece, texts = texts[: self._piece], texts[self._piece :]
                start = time.thread_time()
                try:
                    self._score(classifier, piece)
                finally:
                    self._rest(start)
        finally:
            self._metrics.shadow.labels("dropped").inc(len(texts))

    def _score(self, classifier: Classifier, piece: list[tuple[Identity, str]]) -> None:
        """Score and store texts, but for those that the candidate rejects."""
        scored = 0
        start = time.thread_time()

        def attempt(run: Sequence[tuple[Identity, str]]) -> None:
            nonlocal scored
            self._store.write(classifier.version, classifier.convention, score(classifier, run))
            self._said.discard(DatabaseAway.__name__)
            scored += len(run)

        try:
            for (identity, _), error in bisect(piece, attempt):
                self._complain(error, identity)
        finally:
            self._metrics.shadow.labels("scored").inc(scored)
            self._metrics.shadow.labels("failed").inc(len(piece) - scored)
        seconds = time.thread_time() - start
        if seconds < _SHORT_S:
            self._piece = min(_MOST, self._piece * 2)
        elif seconds > _LONG_S:
            self._piece = max(_FEWEST, self._piece // 2)

    def _rest(self, since: float) -> None:
        """Rest after some work, as long as leaves the flow its throughput."""
        self._stopping.wait(_REST * (time.thread_time() - since))

    def _complain(self, error: Exception, identity: Identity | None = None) -> None:
        """Say what is the matter; of each kind of error once, until it is over or there is another candidate."""
        self._metrics.shadow_failures.inc()
        kind = type(error).__name__
        if kind not in self._said:
            self._said.add(kind)
            log.warning(
                "the shadow cannot score with the candidate; the flow goes on",
                model_version=self._candidate and self._candidate.version,
                transcript_id=identity and identity.transcript_id,
                source=identity and identity.source,
                error=loggable_text(error),
                exc_info=not isinstance(error, UserError),
            )


def is_sampled(transcript_id: str, share: float) -> bool:
    """Whether a transcript is of the share; the same everywhere, and a larger share holds all of a smaller one."""
    digest = hashlib.blake2b(transcript_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _step_back() -> None:
    """Give this thread, and those that a model starts from it, the lowest priority where the system can."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)

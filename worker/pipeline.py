"""The flow: poll, decode, batch, classify, store, commit; and who owns which partition meanwhile."""

import threading
import time
from typing import Final

import structlog

from worker.batching import Batcher
from worker.errors import Away
from worker.health import Health
from worker.metrics import Metrics
from worker.records import Chunk, Claim, Claimed, Partition
from worker.source import Assignment, KafkaSource
from worker.stages import Stages
from worker.waiting import pauses

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 0.1
"""Longest wait of a poll: how soon an answer of the stages or a signal is seen."""
_FULL_S: Final = 0.01
"""Wait of a poll while the stages have no place: how soon a place is seen."""
_LAG_EVERY_S: Final = 10.0
_REPORT_EVERY_S: Final = 60.0
_FINISH_WITHIN_S: Final = 7.0
"""How long work in flight may take to finish after a signal; what is not stored by then is read again."""


class Worker:
    """Fill the next chunk while the last one is classified and the one before it is stored.

    Offsets move in the transaction that stores a chunk, so a crash at any point loses nothing and doubles
    nothing. Everything here runs on the main thread, which owns the consumer and never stops polling.
    """

    def __init__(self, source: KafkaSource, batcher: Batcher, stages: Stages, health: Health, metrics: Metrics) -> None:
        self._source = source
        self._batcher = batcher
        self._stages = stages
        self._health = health
        self._metrics = metrics
        self._unclaimed: set[Partition] = set()
        self._claims: tuple[Claim, ...] = ()
        self._asked: dict[Partition, Claim] = {}
        self._epochs: dict[Partition, int] = {}
        self._stored: dict[Partition, int] = {}
        self._behind = False
        self._lag_due = time.monotonic()
        self._report_due = self._lag_due + _REPORT_EVERY_S

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; then finish what is in flight and leave the group.

        Raises:
            ConfigurationError: the deployment is wrong.
            BaseException: whatever a stage died of; nothing of its chunk is committed.
        """
        self._stages.start()
        try:
            failures = pauses()
            while not stop.is_set():
                try:
                    self.turn()
                    failures = pauses()
                except Away as error:
                    self._sit_out(error, next(failures), stop)
            self._finish()
        finally:
            self._source.close()

    def turn(self) -> None:
        """Take in what has arrived and hand over what is ready."""
        with self._metrics.stage("poll"):
            polled = self._source.poll(self._batcher.room, self._patience(), paused=self._batcher.room <= 0)
        for note in polled.notes:
            self._heed(note)
        if polled.records:
            with self._metrics.stage("decode"):
                for partition, records in polled.records.items():
                    if partition in self._epochs:
                        self._batcher.add(records)
        self._claim()
        if self._batcher.ready and not self._stages.full:
            self._stages.submit(self._batcher.take(self._epochs))
        progressed = self._settle()
        self._report()
        self._health.turned(waiting=self._waiting, progressed=progressed)

    @property
    def _waiting(self) -> bool:
        """Whether records wait: some are in our hands, or the topic is known to hold more."""
        return self._behind or len(self._batcher) > 0 or not self._stages.idle

    def _patience(self) -> float:
        if self._stages.full:
            return _FULL_S
        due_in = self._batcher.due_in
        return _PATIENCE_S if due_in is None else min(due_in, _PATIENCE_S)

    def _heed(self, note: Assignment) -> None:
        """Forget what is known of partitions that came or went; those that came must be claimed anew."""
        self._batcher.drop(note.partitions)
        for partition in note.partitions:
            self._epochs.pop(partition, None)
            self._asked.pop(partition, None)
            self._stored.pop(partition, None)
        came = note.kind == "assigned"
        if came:
            self._unclaimed.update(note.partitions)
        else:
            self._unclaimed.difference_update(note.partitions)
        self._health.ready = came and not self._unclaimed
        if note.partitions:
            numbers = sorted(partition.partition for partition in note.partitions)
            log.info("partitions came" if came else "partitions went", partitions=numbers)

    def _claim(self) -> None:
        """Ask the database for the partitions that came, behind the chunks that are in flight."""
        if self._unclaimed and not self._stages.full:
            claims = tuple(self._source.claims(self._unclaimed))
            self._unclaimed.clear()
            self._asked |= {claim.partition: claim for claim in claims}
            self._stages.submit(claims)

    def _settle(self) -> bool:
        """Act on what the stages have finished; say whether a chunk was among it."""
        progressed = False
        for done in self._stages.done():
            if isinstance(done, Chunk):
                progressed = True
                self._stored |= done.next_offsets
                self._source.commit(done.next_offsets)
                log.debug("stored a chunk", records=len(done), dead_letters=len(done.rejected))
            else:
                for claimed in done:
                    self._begin(claimed)
        return progressed

    def _begin(self, claimed: Claimed) -> None:
        partition = claimed.claim.partition
        if self._asked.get(partition) is not claimed.claim:
            return  # The partition went, or came again, since: a later claim counts.
        del self._asked[partition]
        known, now = claimed.topic_id, claimed.claim.topic_id
        self._source.begin(
            partition, claimed.next_offset, made_anew=known is not None and now is not None and known != now
        )
        self._epochs[partition] = claimed.epoch
        self._stored[partition] = claimed.next_offset
        self._health.ready = not self._unclaimed and not self._asked
        self._lag_due = time.monotonic()
        log.info(
            "partition claimed",
            partition=partition.partition,
            epoch=claimed.epoch,
            read_from=claimed.next_offset,
        )

    def _sit_out(self, error: Away, pause_s: float, stop: threading.Event) -> None:
        self._metrics.outages.labels("kafka").inc()
        log.warning(
            "Kafka is away: what is in flight is still stored, nothing is lost; trying again",
            error=str(error),
            in_seconds=round(pause_s, 2),
        )
        progressed = self._settle()
        self._health.turned(waiting=self._waiting, progressed=progressed)
        stop.wait(pause_s)

    def _finish(self) -> None:
        """Store what is in flight and tell Kafka; what was only polled is read again by the next owner."""
        deadline = time.monotonic() + _FINISH_WITHIN_S
        log.info("stopping: finishing what is in flight")
        self._settle()
        while not self._stages.idle and time.monotonic() < deadline:
            time.sleep(_FULL_S)
            self._settle()
        if not self._stages.idle:
            log.warning("work in flight did not finish in time: it is read again after the next start")
        self._source.commit(self._stored, wait=True)
        self._stages.close(timeout_s=1)
        log.info("stopped", records=self._metrics.records)

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._lag_due:
            self._lag_due = now + _LAG_EVERY_S
            ends = self._source.log_ends()
            lags = {partition: max(0, ends.get(partition, 0) - at) for partition, at in self._stored.items()}
            self._behind = any(lags.values())
            self._metrics.set_lag(lags)
        if now >= self._report_due:
            self._report_due = now + _REPORT_EVERY_S
            self._metrics.report(_REPORT_EVERY_S)

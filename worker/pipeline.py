"""The flow: poll, decode, batch, classify, store, commit; and who owns which partition meanwhile."""

import math
import threading
import time
from collections import deque
from typing import Final

import structlog

from worker.assignments import Assignment
from worker.batching import Batcher
from worker.errors import Away
from worker.health import Health
from worker.metrics import Metrics
from worker.ownership import Owned
from worker.records import Chunk, Claim, Claimed, Partition
from worker.source import KafkaSource
from worker.stages import Stages
from worker.waiting import pauses

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 0.1
"""Longest wait of a poll: how soon an answer of the stages or a signal is seen."""
_FULL_S: Final = 0.01
"""Wait of a poll while the stages have no place: how soon a place is seen."""
_LAG_EVERY_S: Final = 10.0
_REPORT_EVERY_S: Final = 60.0
_FINISH_WITHIN_S: Final = 6.0
"""How long finishing and leaving may take after a signal; what is not stored by then is read again.

With a question to the broker that is under way when the signal comes, it stays within the 10 s after which Docker
kills; source: `docker stop --time`, https://docs.docker.com/reference/cli/docker/container/stop/.
"""
_PARTING_S: Final = 2.0
"""What of it is kept for telling Kafka and leaving the group."""
_LEAST_S: Final = 0.2
"""What each step gets even when the time is up."""


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
        self._asked: dict[Partition, Claim] = {}
        self._answers: deque[Claimed] = deque()
        self._owned: dict[Partition, Owned] = {}
        self._steps = 0
        self._deadline = math.inf
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
            self._source.close(self._left(_PARTING_S))

    def turn(self) -> None:
        """Take in what has arrived and hand over what is ready."""
        # An offset that is skipped to comes after the records before it, and before those behind it.
        paused = self._batcher.room <= 0 or self._skipping
        with self._metrics.stage("poll"):
            polled = self._source.poll(self._batcher.room, self._patience(), paused=paused)
        for note in polled.notes:
            self._heed(note)
        for partition, why in polled.gaps.items():
            if partition in self._owned:
                self._owned[partition].skip(self._source.skip_gap(partition, why))
        if polled.records:
            with self._metrics.stage("decode"):
                for partition, records in polled.records.items():
                    if partition in self._owned:
                        self._batcher.add(records)
                        self._owned[partition].received = records[-1].offset + 1
        self._claim()
        self._hand_over()
        self._collect()
        self._begin()
        self._report()
        self._note_turn()

    @property
    def _waiting(self) -> bool:
        """Whether records wait: some are in our hands, or the topic is known to hold more."""
        return self._behind or len(self._batcher) > 0 or not self._stages.idle

    @property
    def _skipping(self) -> bool:
        return any(owned.skipping for owned in self._owned.values())

    def _patience(self) -> float:
        if self._stages.full:
            return _FULL_S
        if self._skipping:
            return 0.0
        due_in = self._batcher.due_in
        return _PATIENCE_S if due_in is None else min(due_in, _PATIENCE_S)

    def _heed(self, note: Assignment) -> None:
        """Forget what is known of partitions that came or went; those that came must be claimed anew."""
        self._batcher.drop(note.partitions)
        for partition in note.partitions:
            self._asked.pop(partition, None)
            self._owned.pop(partition, None)
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

    def _hand_over(self) -> None:
        """Submit the chunk that is due, and with it the offsets that are skipped to."""
        if self._stages.full or not (self._batcher.ready or self._skipping):
            return
        chunk = self._batcher.take({partition: owned.epoch for partition, owned in self._owned.items()})
        for partition, owned in self._owned.items():
            if owned.skipping:
                chunk.next_offsets[partition] = owned.received
                chunk.epochs[partition] = owned.epoch
                owned.skipping = False
        self._stages.submit(chunk)

    def _collect(self) -> None:
        """Take what the stages have finished."""
        for done in self._stages.done():
            if not isinstance(done, Chunk):
                self._answers += done
                continue
            for partition, offset in done.next_offsets.items():
                owned = self._owned.get(partition)
                if owned and owned.epoch == done.epochs[partition]:
                    owned.stored = offset
            self._source.commit(done.next_offsets)
            log.debug("stored a chunk", records=len(done), dead_letters=len(done.rejected))

    def _begin(self) -> None:
        """Read the partitions whose claims are answered; where Kafka is away, the next turn goes on with it."""
        if not self._answers:
            return
        while self._answers:
            answer = self._answers[0]
            # Otherwise the partition went, or came again, since: a later claim counts.
            if self._asked.get(answer.claim.partition) is answer.claim:
                self._read_on(answer)
            self._answers.popleft()
        # Kafka's own offset may be stale, and where no record comes nothing else would put it right.
        self._source.commit(self._stored())

    def _read_on(self, claimed: Claimed) -> None:
        partition = claimed.claim.partition
        read_from = self._source.begin(partition, claimed.next_offset, made_anew=claimed.made_anew)
        del self._asked[partition]
        owned = self._owned[partition] = Owned(claimed.epoch, read_from, None if claimed.made_anew else read_from)
        owned.skipping = claimed.made_anew
        self._health.ready = not self._unclaimed and not self._asked
        self._lag_due = time.monotonic()
        log.info("partition claimed", partition=partition.partition, epoch=claimed.epoch, read_from=read_from)

    def _sit_out(self, error: Away, pause_s: float, stop: threading.Event) -> None:
        self._metrics.outages.labels("kafka").inc()
        log.warning(
            "Kafka is away: what is in flight is still stored, nothing is lost; trying again",
            error=str(error),
            in_seconds=round(pause_s, 2),
        )
        self._collect()
        self._note_turn()
        stop.wait(pause_s)

    def _finish(self) -> None:
        """Store what is in flight and tell Kafka; what was only polled is read again by the next owner."""
        self._deadline = time.monotonic() + _FINISH_WITHIN_S
        log.info("stopping: finishing what is in flight")
        self._collect()
        while not self._stages.idle and time.monotonic() < self._deadline - _PARTING_S:
            time.sleep(_FULL_S)
            self._collect()
        if not self._stages.idle:
            log.warning("work in flight did not finish in time: it is read again after the next start")
        self._source.commit(self._stored(), wait_s=self._left(_PARTING_S / 2))
        self._stages.close(self._left(_PARTING_S / 4))
        log.info("stopped", records=self._metrics.records)

    def _stored(self) -> dict[Partition, int]:
        return {partition: owned.stored for partition, owned in self._owned.items() if owned.stored is not None}

    def _left(self, at_most_s: float) -> float:
        return max(_LEAST_S, min(at_most_s, self._deadline - time.monotonic()))

    def _note_turn(self) -> None:
        """Each forward pass is progress, as is whatever a stage finishes: a chunk may take a slow model minutes."""
        steps = self._stages.steps + self._metrics.passes
        self._health.turned(waiting=self._waiting, progressed=steps != self._steps)
        self._steps = steps

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._lag_due:
            self._lag_due = now + _LAG_EVERY_S
            reach = self._source.reach()
            owned = self._owned.keys() & reach.keys()
            lags = {partition: self._owned[partition].lag(*reach[partition]) for partition in owned}
            self._behind = any(lags.values())
            self._metrics.set_lag(lags)
        if now >= self._report_due:
            self._report_due = now + _REPORT_EVERY_S
            self._metrics.report(_REPORT_EVERY_S)

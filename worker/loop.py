"""The flow: poll, decode, batch, classify, store, commit; and who owns which partition meanwhile."""

import math
import threading
import time
from collections.abc import Collection
from typing import Final

import structlog

from worker.backoff import pauses
from worker.batching import Batcher
from worker.claims import Claimed
from worker.errors import Away
from worker.kafka.assignments import Assignment
from worker.kafka.consumer import KafkaSource, Polled
from worker.kafka.log_watch import LogWatch
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.records import Chunk, Partition
from worker.stages import Stages
from worker.storage.offsets import Ownership

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 0.1
"""Longest wait of a poll: how soon an answer of the stages or a signal is seen."""
_FULL_S: Final = 0.01
"""Wait of a poll while the stages have no place: how soon a place is seen."""
_CLAIM_AGAIN_S: Final = 1.0
"""How long to wait before partitions that could not be claimed are tried again."""
_LAG_EVERY_S: Final = 10.0
_VERIFY_EVERY_S: Final = 10.0
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
        self._partitions = Ownership()
        self._watch = LogWatch(source, self._partitions, metrics)
        self._answers: list[Claimed] = []
        self._steps = 0
        self._joined = False
        self._only_fenced = False
        self._deadline = math.inf
        self._claim_due = self._lag_due = time.monotonic()
        self._verify_due = self._lag_due + _VERIFY_EVERY_S
        self._report_due = self._lag_due + _REPORT_EVERY_S

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; then finish what is in flight and leave the group.

        Raises:
            ConfigurationError: the deployment is wrong.
            BaseException: the error that a stage died of; nothing of its chunk is committed.
        """
        self._stages.start()
        try:
            failures = pauses()
            while not stop.is_set():
                try:
                    self.turn()
                    self._health.note_return("kafka")
                    failures = pauses()
                except Away as error:
                    self._sit_out(error, next(failures), stop)
            self._finish()
        finally:
            self._source.close(self._left(_PARTING_S))

    def turn(self) -> None:
        """Take in what has arrived and hand over what is ready."""
        with self._metrics.stage("poll"):
            polled = self._source.poll(self._batcher.room, self._patience(), paused=self._batcher.room <= 0)
        for note in polled.notes:
            self._apply_assignment(note)
        self._receive(polled)
        self._close_gaps()
        self._reclaim_disputed()
        self._claim()
        self._hand_over()
        self._collect()
        self._begin()
        self._report()
        self._health.ready = self._joined and self._partitions.complete
        self._note_turn()

    @property
    def _waiting(self) -> bool:
        """Whether records wait: some are in our hands, or the topic is known to hold more."""
        return self._watch.behind or len(self._batcher) > 0 or not self._stages.idle

    def _patience(self) -> float:
        if self._stages.full:
            return _FULL_S
        if self._partitions.unsent:
            return 0.0
        due_in = self._batcher.due_in
        return _PATIENCE_S if due_in is None else min(due_in, _PATIENCE_S)

    def _apply_assignment(self, note: Assignment) -> None:
        """Forget what is known of partitions that came or went; those that came must be claimed."""
        self._batcher.drop(note.partitions)
        came = note.kind == "assigned"
        if came:
            self._partitions.assign(note.partitions)
        else:
            self._partitions.revoke(note.partitions)
        self._joined = came
        self._claim_due = self._lag_due = time.monotonic()
        if note.partitions:
            numbers = sorted(partition.partition for partition in note.partitions)
            log.info("partitions came" if came else "partitions went", partitions=numbers)

    def _receive(self, polled: Polled) -> None:
        """Batch the records of owned partitions, and note where their log has a gap."""
        owned = self._partitions.owned
        if polled.records:
            with self._metrics.stage("decode"):
                for partition, records in polled.records.items():
                    if partition in owned:
                        self._batcher.add(records)
                        owned[partition].received = records[-1].offset + 1
        for partition, gap in polled.gaps.items():
            if partition in owned:
                owned[partition].gap = gap

    def _close_gaps(self) -> None:
        """Skip the gaps whose records before them are stored, or stop if the settings forbid to skip."""
        for partition, owned in self._partitions.owned.items():
            if owned.gap is not None and owned.stored == owned.received:
                offset = self._source.skip_gap(partition, owned.gap)
                if offset is not None:
                    owned.gap = None
                    owned.skip(offset)

    def _reclaim_disputed(self) -> None:
        """Claim again what the database refused, once the group has confirmed that it is still ours.

        A worker that hung must not take partitions back from their owner.
        """
        now = time.monotonic()
        if self._partitions.disputed and now >= self._claim_due:
            self._claim_due = now + _CLAIM_AGAIN_S
            if self._source.confirm_membership(self._partitions.disputed):
                self._partitions.reclaim()
                self._claim_due = now

    def _claim(self) -> None:
        """Ask the database for the partitions that came, behind the chunks that are in flight."""
        now = time.monotonic()
        if self._partitions.unclaimed and now >= self._claim_due and not self._stages.full:
            self._claim_due = now + _CLAIM_AGAIN_S
            claims = tuple(self._source.claims(self._partitions.unclaimed))
            if claims:
                self._partitions.ask(claims)
                self._stages.submit(claims)

    def _hand_over(self) -> None:
        """Submit the chunk that is due, and with it the offsets that are skipped to."""
        if not self._stages.full and (self._batcher.ready or self._partitions.unsent):
            chunk = self._batcher.take()
            self._partitions.mark(chunk)
            self._stages.submit(chunk)

    def _collect(self) -> None:
        """Take what the stages have finished."""
        for done in self._stages.done():
            if isinstance(done, Chunk):
                self._settle(done)
            else:
                self._answers += done
                self._only_fenced = False

    def _settle(self, chunk: Chunk) -> None:
        disputed = self._partitions.settle(chunk)
        self._release(disputed)
        self._only_fenced = not chunk.next_offsets
        self._source.commit(chunk.next_offsets)
        log.debug("stored a chunk", records=len(chunk), dead_letters=len(chunk.rejected))

    def _release(self, partitions: Collection[Partition]) -> None:
        """Read nothing of partitions that must be claimed again."""
        if partitions:
            self._batcher.drop(partitions)
            self._source.release(partitions)

    def _begin(self) -> None:
        """Read the partitions whose claims are answered; those that no broker answers for are tried next turn."""
        if not self._answers:
            return
        # An answer to an earlier claim of a partition is void: it went, or came again, since.
        self._answers = [answer for answer in self._answers if self._partitions.awaits(answer)]
        for answer in list(self._answers):
            if self._read_on(answer):
                self._answers.remove(answer)
        # Kafka's own offset may be stale, and where no record comes nothing else would put it right.
        self._source.commit(self._partitions.stored_offsets)

    def _read_on(self, claimed: Claimed) -> bool:
        partition = claimed.claim.partition
        read_from = self._source.begin(claimed)
        if read_from is None:
            return False
        self._partitions.begin(claimed, read_from)
        self._lag_due = time.monotonic()
        log.info("partition claimed", partition=partition.partition, epoch=claimed.epoch, read_from=read_from)
        return True

    def _sit_out(self, error: Away, pause_s: float, stop: threading.Event) -> None:
        self._metrics.outages.labels("kafka").inc()
        self._health.note_absence("kafka", str(error))
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
        self._source.commit(self._partitions.stored_offsets, wait_s=self._left(_PARTING_S / 2))
        self._stages.close(self._left(_PARTING_S / 4))
        log.info("stopped", records=self._metrics.records)

    def _left(self, at_most_s: float) -> float:
        return max(_LEAST_S, min(at_most_s, self._deadline - time.monotonic()))

    def _note_turn(self) -> None:
        """Tell the health check about progress.

        Each forward pass is progress, since a chunk may take a slow model minutes. Passes are none while the database
        refuses every chunk.
        """
        steps = self._stages.steps + self._metrics.passes
        self._health.note_turn(waiting=self._waiting, progressed=steps != self._steps and not self._only_fenced)
        self._steps = steps

    def _report(self) -> None:
        now = time.monotonic()
        if now >= self._lag_due:
            self._lag_due = now + _LAG_EVERY_S
            if self._watch.topic_recreated():
                everything = set(self._partitions.owned)
                self._release(everything)
                self._partitions.assign(everything)
            self._watch.measure()
        if now >= self._verify_due:
            self._verify_due = now + _VERIFY_EVERY_S
            self._partitions.verify()
        if now >= self._report_due:
            self._report_due = now + _REPORT_EVERY_S
            self._metrics.report(_REPORT_EVERY_S)

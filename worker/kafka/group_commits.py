"""What the group tells Kafka: where it stands in each partition, and where it began."""

import re
import time
from collections.abc import Mapping
from typing import Final

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from worker.claims import Claimed
from worker.errors import Away
from worker.kafka.client import CALL_TIMEOUT_MS, kafka_problems
from worker.records import Partition

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0
"""How long a group that did not accept a commit is not asked again."""

_FIRST_OFFSET: Final = re.compile(r"first-offset=(\d+)")


def first_offset_of(committed: OffsetAndMetadata) -> int | None:
    """Return where the group began, as one of its commits says; None for a commit of another program."""
    said = _FIRST_OFFSET.fullmatch(committed.metadata or "")
    return int(said[1]) if said else None


class GroupCommits:
    """Commits through the consumer, on its thread; each commit names where the group began.

    Args:
        consumer: member of the group.

    Attributes:
        first_offsets: where the group began to read each partition that this worker owns or has owned.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self.first_offsets: dict[Partition, int] = {}
        self._ask_again_at = 0.0

    def note_start(self, claimed: Claimed, start: int) -> None:
        """Note where the group began to read a claimed partition, and warn where the database stands behind Kafka.

        Commits without a mark are of an older version, or of another program. A group that the database knows may have
        begun anywhere in the log then.

        Args:
            claimed: answer of the database.
            start: offset that the partition is read from.
        """
        claim, first = claimed.claim, claimed.claim.first_offset
        if first is None and not claimed.is_new:
            first = claim.log_start
        self.first_offsets[claim.partition] = start if first is None or claimed.topic_recreated else min(first, start)
        committed, number = claim.committed, claim.partition.partition
        if committed is None or claimed.topic_recreated:
            return
        if start < committed:
            log.warning(
                "the database stands behind what this group told Kafka: it was lost, restored or set back; "
                "records are read again",
                partition=number,
                read_from=start,
                committed=committed,
            )
        elif claimed.is_new and claim.first_offset is None:
            log.warning(
                "the database does not know this group, which stands in Kafka: it goes on from there. "
                "If the database was lost, docs/backup.md says how to read the log again",
                partition=number,
                read_from=start,
            )

    def accepts(self, stored_offsets: Mapping[Partition, int]) -> bool:
        """Commit, and return whether the group counts this worker in.

        A member that hung does not know that it was expelled. The group refuses commits of an earlier generation.

        Args:
            stored_offsets: offsets that the database holds of assigned partitions.
        """
        if time.monotonic() < self._ask_again_at:
            return False
        try:
            with kafka_problems("confirm the membership of the group"):
                self._consumer.commit(self._of(stored_offsets), timeout_ms=CALL_TIMEOUT_MS)
        except Away:
            # One question that is not answered holds up the main loop; as many as there are partitions must not.
            self._ask_again_at = time.monotonic() + _PAUSE_S
            return False
        return True

    def commit(self, next_offsets: Mapping[Partition, int], wait_s: float) -> None:
        """Commit; one that fails is no loss, since the next one says more.

        Args:
            next_offsets: offsets of assigned partitions.
            wait_s: how long to wait for the answer, in seconds; 0 does not wait.
        """
        offsets = self._of(next_offsets)
        if not offsets:
            return
        try:
            with kafka_problems("commit offsets"):
                if wait_s:
                    self._consumer.commit(offsets, timeout_ms=int(wait_s * 1000))
                else:
                    self._consumer.commit_async(offsets, callback=_note_failure)
        except Away as error:
            _note_failure(offsets, error)

    def _of(self, offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            TopicPartition(*partition): OffsetAndMetadata(offset, f"first-offset={self.first_offsets[partition]}", -1)
            for partition, offset in offsets.items()
        }


def _note_failure(offsets: Mapping[TopicPartition, OffsetAndMetadata], answer: object) -> None:
    if isinstance(answer, KafkaError | Away):
        partitions = [partition.partition for partition in offsets]
        log.debug("commit to Kafka failed; the next one makes up for it", partitions=partitions, error=repr(answer))

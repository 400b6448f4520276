"""What the brokers know of offsets: where partitions begin and end, where the group stands, which topic it is."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, LogTruncationError, NoOffsetForPartitionError

from worker.kafka.client import CALL_TIMEOUT_MS, KAFKA_AWAY
from worker.kafka.group_commits import first_offset_of
from worker.records import Partition

_POSITION_TIMEOUT_MS: Final = 100
"""How long to wait for positions that the client is validating; it knows the others at once."""

_NO_LEADER: Final = -1
"""How the client writes that a partition has no leader."""


class LogPosition(NamedTuple):
    """How far a partition is read, and how far it goes."""

    position: int
    """The next offset to read. It passes offsets without records: marks of transactions, compacted records."""
    end: int
    """The offset after the last record that can be read."""
    hidden: int = 0
    """Records after ``end``: they belong to transactions that are still open, or follow one."""


class Starts(NamedTuple):
    """Where to begin with partitions that the database does not know."""

    offsets: dict[Partition, int]
    """The starts that are known; a partition that nobody leads may have none."""
    first_offsets: dict[Partition, int]
    """Where the group once began to read, of those partitions whose commit says so."""
    log_starts: dict[Partition, int]
    """Where the log begins, of all other partitions."""
    committed: dict[Partition, int]
    """Where the group stands in Kafka, of those partitions where it stands anywhere."""
    ends: dict[int, int]
    """By number, the end of each partition of the topic: a group that is new to the topic begins there. Empty for
    ``earliest``, and for a group that stands somewhere in Kafka."""


class LogOffsets:
    """Asks through the consumer, on its thread; a partition that nobody leads is left out of each answer.

    Args:
        consumer: subscribed to the topic.
        topic: name of the topic.
    """

    def __init__(self, consumer: KafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        # The client tells neither leaders nor topic ids elsewhere.
        self._cluster = consumer._cluster  # noqa: SLF001 - see the line before.

    @property
    def everything(self) -> list[Partition]:
        """All partitions of the topic, as far as the client knows them."""
        numbers = self._cluster.partitions_for_topic(self._topic) or ()
        return [Partition(self._topic, number) for number in sorted(numbers)]

    def topic_id(self) -> str | None:
        """Return the topic's id as the client knows it.

        Raises:
            LookupError: the client knows no such topic any more.
        """
        if self._cluster.partitions_for_topic(self._topic) is None:
            raise LookupError(self._topic)
        topic_id = self._cluster.topic_id(self._topic)
        return None if topic_id is None else str(topic_id)

    def starts(self, partitions: AbstractSet[Partition], reset: str) -> Starts:
        """Find where to begin with partitions that the database does not know.

        That is where the group began, as its commits say: the database has lost it. Some commits of such a group may
        not say it, as those of a worker of an older version: then the log's beginning. Without any such commit, it is
        where the group stands in Kafka, else the beginning. A partition that is added to the topic later must not lose
        its first records.

        Args:
            partitions: partitions to be claimed.
            reset: earliest or latest, for a group that is new to the topic.
        """
        commits = self._committed(partitions)
        firsts = {partition: first for partition, (_, first) in commits.items() if first is not None}
        committed = {partition: offset for partition, (offset, _) in commits.items()}
        unmarked = partitions - firsts.keys()
        if not unmarked:
            return Starts(firsts, firsts, {}, committed, {})
        log_starts = self.ends(unmarked, "earliest")
        group = self._committed(self.everything)
        stands = {partition: committed.get(partition, start) for partition, start in log_starts.items()}
        lost = any(first is not None for _, first in group.values())
        starts = firsts | (log_starts if lost else stands)
        ends = {} if group or reset == "earliest" else self.ends(self.everything, "latest")
        by_number = {partition.partition: end for partition, end in ends.items()}
        return Starts(starts, firsts, log_starts, committed, by_number)

    def ends(self, partitions: Iterable[Partition], which: str) -> dict[Partition, int]:
        """Return an end of the log of each partition whose leader answers.

        Each leader is asked by itself. The client fails a question as a whole when one partition has no leader.

        Args:
            partitions: partitions of any topic.
            which: earliest or latest.
        """
        ask = self._consumer.beginning_offsets if which == "earliest" else self._consumer.end_offsets
        ends: dict[Partition, int] = {}
        for led in self._by_leader(partitions):
            with suppress(*KAFKA_AWAY):
                ends |= {Partition(*each): end for each, end in ask(led, timeout_ms=CALL_TIMEOUT_MS).items()}
        return ends

    def at_time(self, partitions: Iterable[Partition], moment_ms: int) -> dict[Partition, int]:
        """Return the first record since a moment, or the end of the log, of each partition whose leader answers.

        Args:
            partitions: partitions of any topic.
            moment_ms: milliseconds since the epoch.
        """
        found: dict[Partition, int] = {}
        for led in self._by_leader(partitions):
            with suppress(*KAFKA_AWAY):
                ends = self._consumer.end_offsets(led, timeout_ms=CALL_TIMEOUT_MS)
                asked = dict.fromkeys(led, moment_ms)
                first = self._consumer.offsets_for_times(asked, timeout_ms=CALL_TIMEOUT_MS)
                found |= {Partition(*each): first[each].offset if first.get(each) else ends[each] for each in led}
        return found

    def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, LogPosition]:
        """Return how far assigned partitions are read.

        Raises:
            KafkaTimeoutError: none of their leaders answers.
        """
        ends = self.ends(partitions, "latest")
        if partitions and not ends:
            raise KafkaTimeoutError("no broker answers for any partition")
        try:
            return {partition: position for partition in ends if (position := self._position(partition, ends))}
        except (NoOffsetForPartitionError, LogTruncationError):
            return {}  # The next poll meets it too, and tells.

    def _committed(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int | None]]:
        """Return where the group stands in Kafka and where it began, of those partitions where it stands anywhere."""
        found = {}
        for partition in partitions:
            place = TopicPartition(*partition)
            committed = self._consumer.committed(place, metadata=True, timeout_ms=CALL_TIMEOUT_MS)
            if committed is not None:
                found[partition] = committed.offset, first_offset_of(committed)
        return found

    def _position(self, partition: Partition, ends: Mapping[Partition, int]) -> LogPosition | None:
        assigned = TopicPartition(*partition)
        at = self._consumer.position(assigned, timeout_ms=_POSITION_TIMEOUT_MS)
        if at is None:
            return None
        high_watermark = self._consumer.highwater(assigned) or 0
        return LogPosition(at, ends[partition], max(0, high_watermark - ends[partition]))

    def _by_leader(self, partitions: Iterable[Partition]) -> list[list[TopicPartition]]:
        led: dict[Any, list[TopicPartition]] = {}
        for partition in partitions:
            leader = self._cluster.leader_for_partition(TopicPartition(*partition))
            if leader in {None, _NO_LEADER}:
                self._cluster.request_update()
            else:
                led.setdefault(leader, []).append(TopicPartition(*partition))
        return list(led.values())

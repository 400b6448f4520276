"""The consumer: one member of a consumer group, owned by the main thread."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)
from kafka.structs import OffsetAndMetadata

from worker.connection import KAFKA_AWAY, kafka_options, kafka_problems
from worker.errors import OffsetOutOfRange
from worker.records import Claim, Partition, Record
from worker.settings import Settings
from worker.topics import require_topic

log = structlog.get_logger(__name__)

CALL_TIMEOUT_MS: Final = 10_000
"""How long one question to the broker may take before it counts as away."""


class Assignment(NamedTuple):
    """What the group decided: these partitions came, or these went."""

    kind: Literal["assigned", "revoked"]
    partitions: list[Partition]


class Polled(NamedTuple):
    """What one poll brought."""

    records: dict[Partition, list[Record]]
    notes: list[Assignment]


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Writes down what the group decides.

    It is called on the client's I/O thread in the middle of a poll, where neither database nor consumer may
    be used; and a partition can be lost and regained within one poll, which only these notes show.
    """

    def __init__(self) -> None:
        self._notes: deque[Assignment] = deque()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._notes.append(Assignment("assigned", [Partition(*partition) for partition in assigned]))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._notes.append(Assignment("revoked", [Partition(*partition) for partition in revoked]))

    def take(self) -> Iterator[Assignment]:
        while self._notes:
            yield self._notes.popleft()


class KafkaSource:
    """Read the topic's records from where the database says, not from where Kafka does.

    A partition that the group assigns stays paused until it is claimed in the database and `begin` says where
    to read on.

    Raises:
        ConfigurationError: from any method, when the broker refuses us or the topic does not exist.
        Away: from any method, when the broker cannot be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._notes = _Notes()
        self._waiting: set[Partition] = set()
        self._rejoining_since: float | None = None
        with kafka_problems("connect"):
            self._consumer = KafkaConsumer(
                **kafka_options(settings),
                group_id=settings.kafka_group_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                session_timeout_ms=settings.kafka_session_timeout_ms,
                heartbeat_interval_ms=min(3_000, settings.kafka_session_timeout_ms // 3),
                max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
                fetch_max_wait_ms=100,
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                metrics_enabled=False,
            )
            self._subscribe()
            # With the topic's partitions known before the first join, one join is enough; the client (3.0.12)
            # joins twice otherwise, and a second join soon after the first may end without an assignment.
            self._consumer.topics()

    def poll(self, max_records: int, timeout_s: float, *, paused: bool) -> Polled:
        """Fetch what has arrived, and keep the membership of the group either way.

        Args:
            max_records: at most so many records.
            timeout_s: how long to wait for the first, in seconds.
            paused: fetch nothing, only stay a member.

        Returns:
            Records by partition, in order, and what the group has decided since the last poll. Records of
            partitions that are not claimed yet are among them: the caller drops those.
        """
        self._pause(everything=paused)
        fetched: dict[Any, list[Record]] = {}
        lost: dict[Any, int] = {}
        with kafka_problems("poll"):
            try:
                fetched = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max(1, max_records))
            except NoOffsetForPartitionError:
                pass  # A new group: its first assignment is in the notes, and `claims` finds where to begin.
            except OffsetOutOfRangeError as error:
                lost = error.args[0]
        notes = list(self._notes.take())
        for note in notes:
            if note.kind == "assigned":
                self._waiting.update(note.partitions)
                self._rejoining_since = None
            else:
                self._waiting.difference_update(note.partitions)
                self._rejoining_since = time.monotonic()
        with kafka_problems("skip a gap"):
            for partition, offset in lost.items():
                # Before the claim it is Kafka's own offset, which may be stale and is not the truth.
                if partition not in self._waiting:
                    self._leave_gap(Partition(*partition), f"offset {offset} is not in the log")
        self._join_again_if_forgotten()
        return Polled({Partition(*partition): records for partition, records in fetched.items()}, notes)

    def claims(self, partitions: Collection[Partition]) -> list[Claim]:
        """Prepare the claims of newly assigned partitions.

        The start is where the group stands in Kafka, else an end of the log: the database keeps it from the
        claim on, so that what arrives meanwhile is not skipped by a crash.
        """
        wanted = [TopicPartition(*partition) for partition in partitions]
        with kafka_problems("ask for offsets"):
            ends = self._ends(wanted, self._settings.kafka_auto_offset_reset)
            topic_id = require_topic(self._settings, self._settings.kafka_topic)
            claims = []
            for partition in wanted:
                committed = self._consumer.committed(partition, timeout_ms=CALL_TIMEOUT_MS)
                start = ends[partition] if committed is None else committed
                self._seek(partition, start)
                claims.append(Claim(Partition(*partition), start, topic_id))
        return claims

    def begin(self, partition: Partition, next_offset: int, *, made_anew: bool) -> None:
        """Read a claimed partition from ``next_offset`` on.

        Raises:
            OffsetOutOfRange: the offset belongs to a topic that was deleted and made anew.
        """
        self._waiting.discard(partition)
        if made_anew:
            self._leave_gap(partition, f"the topic was made anew since offset {next_offset} was stored")
        else:
            self._seek(TopicPartition(*partition), next_offset)

    def commit(self, next_offsets: Mapping[Partition, int], *, wait: bool = False) -> None:
        """Tell Kafka what is stored, for its lag tools to see; the truth stays in the database.

        A commit that fails is no loss: the next one says more.
        """
        assigned = self._consumer.assignment()
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
            if partition in assigned
        }
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets, timeout_ms=2_000)
            else:
                self._consumer.commit_async(offsets, callback=_note_failed_commit)
        except (CommitFailedError, RebalanceInProgressError, *KAFKA_AWAY) as error:
            _note_failed_commit(offsets, error)

    def log_ends(self) -> dict[Partition, int]:
        """Return the offset after the last record of each partition that is read now."""
        with kafka_problems("ask for the end of the log"):
            ends = self._consumer.end_offsets(self._consumer.assignment() - self._waiting, timeout_ms=CALL_TIMEOUT_MS)
        return {Partition(*partition): end for partition, end in ends.items()}

    def close(self) -> None:
        """Leave the group. It is bounded, since a rebalance under way could hold it up."""
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def _subscribe(self) -> None:
        self._consumer.subscribe([self._settings.kafka_topic], listener=self._notes)

    def _join_again_if_forgotten(self) -> None:
        """Join anew when a rebalance took our partitions and brought none, which the client (3.0.12) may do."""
        patience_s = self._settings.kafka_session_timeout_ms / 1000
        if self._rejoining_since is not None and time.monotonic() - self._rejoining_since > patience_s:
            log.warning("a rebalance has brought no partitions: joining the group anew", waited_s=patience_s)
            self._rejoining_since = time.monotonic()
            with kafka_problems("leave the group"):
                self._consumer.unsubscribe()
            self._subscribe()

    def _pause(self, *, everything: bool) -> None:
        assigned = self._consumer.assignment()
        blocked = assigned if everything else {partition for partition in assigned if partition in self._waiting}
        self._consumer.pause(*blocked)
        self._consumer.resume(*(assigned - blocked))

    def _seek(self, partition: TopicPartition, offset: int) -> None:
        try:
            self._consumer.seek(partition, offset)
        except IllegalStateError:
            log.debug("partition went before it could be read", partition=partition)

    def _leave_gap(self, partition: Partition, why: str) -> None:
        policy = self._settings.kafka_offset_out_of_range
        if policy == "fail":
            raise OffsetOutOfRange(
                f"{partition.topic}[{partition.partition}]: {why}. Records may be missing. To go on, set "
                "WORKER_KAFKA_OFFSET_OUT_OF_RANGE=earliest (the oldest record there is) or latest (only new ones)"
            )
        wanted = TopicPartition(*partition)
        offset = self._ends([wanted], policy)[wanted]
        log.warning("skipping over a gap: records may be missing", partition=partition, why=why, read_from=offset)
        self._seek(wanted, offset)

    def _ends(self, partitions: Collection[TopicPartition], which: str) -> dict[TopicPartition, int]:
        ask = self._consumer.beginning_offsets if which == "earliest" else self._consumer.end_offsets
        ends: dict[TopicPartition, int] = ask(list(partitions), timeout_ms=CALL_TIMEOUT_MS)
        return ends


def _note_failed_commit(offsets: Mapping[TopicPartition, OffsetAndMetadata], answer: object) -> None:
    if isinstance(answer, KafkaError):
        partitions = [partition.partition for partition in offsets]
        log.debug("commit to Kafka failed; the next one makes up for it", partitions=partitions, error=repr(answer))

"""The consumer: one member of a consumer group, owned by the main thread."""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)
from kafka.structs import OffsetAndMetadata

from worker.assignments import Assignment, Assignments
from worker.connection import KAFKA_AWAY, kafka_problems, open_client
from worker.errors import OffsetOutOfRange
from worker.records import Claim, Partition, Record
from worker.settings import Settings
from worker.topics import require_topic

log = structlog.get_logger(__name__)

CALL_TIMEOUT_MS: Final = 3_000
"""How long one question to the broker may take before it counts as away; so long it may delay the stop."""


class Polled(NamedTuple):
    """What one poll brought."""

    records: dict[Partition, list[Record]]
    notes: list[Assignment]
    gaps: dict[Partition, str]
    """Why a partition cannot be read on: the log has no record where we stand."""


class Reach(NamedTuple):
    """How far a partition is read, and how far it goes."""

    position: int
    """The next offset to read. It passes what is no record: marks of transactions, records that compaction took."""
    end: int
    """The offset after the last record."""


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
        self._assignments = Assignments()
        self._waiting = self._assignments.waiting
        with kafka_problems("connect"):
            self._consumer = open_client(
                KafkaConsumer,
                settings,
                group_id=settings.kafka_group_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                session_timeout_ms=settings.kafka_session_timeout_ms,
                heartbeat_interval_ms=min(3_000, settings.kafka_session_timeout_ms // 3),
                max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
                fetch_max_wait_ms=100,
                reconnect_backoff_max_ms=2_000,  # By default a broker that is back is found after up to 30 s.
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                metrics_enabled=False,
            )
            try:
                self._subscribe()
                # With the topic's partitions known before the first join, one join is enough; the client (3.0.12)
                # joins twice otherwise, and a second join soon after the first may end without an assignment.
                self._consumer.topics()
            except BaseException:
                self.close(timeout_s=0)
                raise

    def poll(self, max_records: int, timeout_s: float, *, paused: bool) -> Polled:
        """Fetch what has arrived, and keep the membership of the group either way.

        Args:
            max_records: at most so many records.
            timeout_s: how long to wait for the first, in seconds.
            paused: fetch nothing, only stay a member.

        Returns:
            Records by partition, in order, what the group has decided since the last poll, and gaps to be left
            with `skip_gap`. Records of partitions that are not claimed yet are among them: the caller drops those.
        """
        self._join_again_if_forgotten()
        self._pause(everything=paused)
        fetched: dict[Any, list[Record]] = {}
        gaps: dict[Any, str] = {}
        with kafka_problems("poll"):
            try:
                fetched = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max(1, max_records))
            except NoOffsetForPartitionError:
                pass  # A new group: its first assignment is in the notes, and `claims` finds where to begin.
            except OffsetOutOfRangeError as error:
                gaps = {partition: f"offset {offset} is not in the log" for partition, offset in error.args[0].items()}
            except LogTruncationError as error:
                why = "the log was truncated before the offset that was read last, as an unclean leader election does"
                gaps = dict.fromkeys(error.divergent_offsets, why)
        notes = self._assignments.take()
        return Polled(
            {Partition(*partition): records for partition, records in fetched.items()},
            notes,
            # Before the claim it is Kafka's own offset, which may be stale and is not the truth.
            {Partition(*partition): why for partition, why in gaps.items() if partition not in self._waiting},
        )

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

    def begin(self, partition: Partition, next_offset: int, *, made_anew: bool) -> int:
        """Read a claimed partition from ``next_offset`` on.

        Returns:
            Where it is read from: ``next_offset``, but for a topic that was made anew.

        Raises:
            OffsetOutOfRange: the offset belongs to a topic that was deleted and made anew.
        """
        if made_anew:
            next_offset = self.skip_gap(partition, f"the topic was made anew since offset {next_offset} was stored")
        else:
            self._seek(TopicPartition(*partition), next_offset)
        self._waiting.discard(partition)
        return next_offset

    def skip_gap(self, partition: Partition, why: str) -> int:
        """Read a partition from the end of the log that the operator chose for such a case.

        Returns:
            Where it is read from. It must be stored before any record is: a crash would skip again.

        Raises:
            OffsetOutOfRange: the operator chose none.
        """
        policy = self._settings.kafka_offset_out_of_range
        if policy == "fail":
            raise OffsetOutOfRange(
                f"{partition.topic}[{partition.partition}]: {why}. Records may be missing. To go on, set "
                "WORKER_KAFKA_OFFSET_OUT_OF_RANGE=earliest (the oldest record there is) or latest (only new ones)"
            )
        wanted = TopicPartition(*partition)
        with kafka_problems("skip a gap"):
            offset = self._ends([wanted], policy)[wanted]
        log.warning("skipping over a gap: records may be missing", partition=partition, why=why, read_from=offset)
        self._seek(wanted, offset)
        return offset

    def commit(self, next_offsets: Mapping[Partition, int], *, wait_s: float = 0) -> None:
        """Tell Kafka what is stored, for its lag tools to see; the truth stays in the database.

        A commit that fails is no loss: the next one says more.

        Args:
            next_offsets: offsets of partitions; those that are not ours any more are left out.
            wait_s: how long to wait for the broker's answer, in seconds; by default it is not waited for.
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
            if wait_s:
                self._consumer.commit(offsets, timeout_ms=int(wait_s * 1000))
            else:
                self._consumer.commit_async(offsets, callback=_note_failed_commit)
        except (CommitFailedError, RebalanceInProgressError, *KAFKA_AWAY) as error:
            _note_failed_commit(offsets, error)

    def reach(self) -> dict[Partition, Reach]:
        """Return how far each partition is read, of those that are read now."""
        partitions = self._consumer.assignment() - self._waiting
        with kafka_problems("ask for the end of the log"):
            ends = self._consumer.end_offsets(partitions, timeout_ms=CALL_TIMEOUT_MS)
            try:
                positions = {each: self._consumer.position(each, timeout_ms=CALL_TIMEOUT_MS) for each in partitions}
            except (NoOffsetForPartitionError, LogTruncationError):
                return {}  # The next poll meets it too, and tells.
        return {Partition(*each): Reach(at, ends[each]) for each, at in positions.items() if at is not None}

    def close(self, timeout_s: float) -> None:
        """Leave the group; a rebalance under way, or a broker that is away, must not hold it up for longer."""
        self._consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))

    def _subscribe(self) -> None:
        self._consumer.subscribe([self._settings.kafka_topic], listener=self._assignments)

    def _join_again_if_forgotten(self) -> None:
        """Join anew when a rebalance took our partitions and brought none, which the client (3.0.12) may do."""
        patience_s = self._settings.kafka_session_timeout_ms / 1000
        if self._assignments.forgotten(patience_s):
            log.warning("a rebalance has brought no partitions: joining the group anew", waited_s=patience_s)
            with kafka_problems("leave the group"):
                self._consumer.unsubscribe()
            self._subscribe()

    def _pause(self, *, everything: bool) -> None:
        assigned = self._consumer.assignment()
        blocked = assigned if everything else {partition for partition in assigned if partition in self._waiting}
        self._consumer.pause(*blocked)
        self._consumer.resume(*(assigned - blocked))

    def _seek(self, partition: TopicPartition, offset: int) -> None:
        if partition in self._consumer.assignment():
            self._consumer.seek(partition, offset)

    def _ends(self, partitions: Collection[TopicPartition], which: str) -> dict[TopicPartition, int]:
        ask = self._consumer.beginning_offsets if which == "earliest" else self._consumer.end_offsets
        return dict(ask(list(partitions), timeout_ms=CALL_TIMEOUT_MS))


def _note_failed_commit(offsets: Mapping[TopicPartition, OffsetAndMetadata], answer: object) -> None:
    if isinstance(answer, KafkaError):
        partitions = [partition.partition for partition in offsets]
        log.debug("commit to Kafka failed; the next one makes up for it", partitions=partitions, error=repr(answer))

"""The consumer: one member of a consumer group, owned by the main thread."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from worker.claims import Claim, Claimed
from worker.errors import OffsetOutOfRange
from worker.kafka.assignments import Assignment, Assignments
from worker.kafka.client import kafka_problems, open_client
from worker.kafka.group_commits import GroupCommits
from worker.kafka.log_offsets import LogOffsets, LogPosition, Starts
from worker.kafka.tokens import tokens_of
from worker.kafka.topics import require_topic
from worker.kafka.unreadable import UnreadableBatch
from worker.records import Gap, Partition, Record
from worker.settings import Settings

log = structlog.get_logger(__name__)

_METADATA_AGE_MS: Final = 30_000
"""How old the client's knowledge of the topic may be: new partitions are found within this time."""


class Polled(NamedTuple):
    """What one poll brought."""

    records: dict[Partition, list[Record]]
    notes: list[Assignment]
    gaps: dict[Partition, Gap]
    """Where a partition cannot be read on."""


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
        self._tokens = tokens_of(settings)
        self._assignments = Assignments()
        self._waiting = self._assignments.waiting
        self._gaps: set[Partition] = set()
        self._topic_ids: dict[Partition, str | None] = {}
        with kafka_problems("connect"):
            self._consumer = open_client(
                KafkaConsumer,
                settings,
                group_id=settings.kafka_group_id,
                group_instance_id=settings.kafka_instance_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                session_timeout_ms=settings.kafka_session_timeout_ms,
                heartbeat_interval_ms=min(3_000, settings.kafka_session_timeout_ms // 3),
                max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
                fetch_max_wait_ms=100,
                fetch_max_bytes=min(50 * 2**20, settings.part_bytes),  # At most what the client has by default.
                max_partition_fetch_bytes=min(2**20, settings.part_bytes),
                reconnect_backoff_max_ms=2_000,  # By default a broker that is back is found after up to 30 s.
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                metadata_max_age_ms=_METADATA_AGE_MS,
                metrics_enabled=False,
            )
            self._commits = GroupCommits(self._consumer)
            self._offsets = LogOffsets(self._consumer, settings.kafka_topic)
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
            max_records: maximum number of records.
            timeout_s: how long to wait for the first, in seconds.
            paused: fetch nothing, only stay a member.

        Returns:
            Records by partition, in order, what the group has decided since the last poll, and gaps to be left
            with `skip_gap`. Records of partitions that are not claimed yet are among them: the caller drops those.
        """
        if self._tokens:
            self._tokens.renew()  # Here it may take its time, and fail; on the client's thread heartbeats would wait.
        self._join_again_if_forgotten()
        self._pause(everything=paused)
        fetched: dict[Any, list[Record]] = {}
        gaps: dict[Any, Gap] = {}
        with kafka_problems("poll"):
            try:
                fetched = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max(1, max_records))
            except NoOffsetForPartitionError:
                pass  # The first assignment is in the notes; `claims` and `begin` find where to read.
            except OffsetOutOfRangeError as error:
                out_of_range = error.args[0].items()
                gaps = {partition: Gap(f"offset {offset} is not in the log") for partition, offset in out_of_range}
            except LogTruncationError as error:
                why = "the log was truncated before the offset that was read last, as an unclean leader election does"
                gaps = dict.fromkeys(error.divergent_offsets, Gap(why))
            except UnreadableBatch as error:
                behind = error.offset + 1 if error.go_on_at is None else error.go_on_at
                why = f"the records from offset {error.offset} to {behind - 1} cannot be read ({error.why})"
                gaps = {error.partition: Gap(why, behind)}
        notes = self._take_notes()
        # Before the claim the position is Kafka's own offset, which may be stale and is not the truth.
        new_gaps = {Partition(*partition): gap for partition, gap in gaps.items() if partition not in self._waiting}
        self._gaps |= new_gaps.keys()
        return Polled({Partition(*partition): records for partition, records in fetched.items()}, notes, new_gaps)

    def claims(self, partitions: AbstractSet[Partition]) -> list[Claim]:
        """Prepare claims of assigned partitions.

        The database keeps the start from the claim on, so a crash skips nothing that arrives later.

        Args:
            partitions: assigned partitions.

        Returns:
            Claims of those partitions whose start is known. The others have no leader that answers now.
        """
        with kafka_problems("ask for offsets"):
            topic_id = require_topic(self._settings, self._settings.kafka_topic)
            self._topic_ids |= dict.fromkeys(partitions, topic_id)
            starts = self._starts(partitions)
        return [
            Claim(
                partition,
                offset,
                topic_id,
                first_starts=starts.ends,
                first_offset=starts.first_offsets.get(partition),
                log_start=starts.log_starts.get(partition),
                committed=starts.committed.get(partition),
            )
            for partition, offset in sorted(starts.offsets.items())
        ]

    def _starts(self, partitions: AbstractSet[Partition]) -> Starts:
        return self._offsets.starts(partitions, self._settings.kafka_auto_offset_reset)

    def begin(self, claimed: Claimed) -> int | None:
        """Read a claimed partition from the offset that the database names.

        Kafka learns where the group began before the first record is read: should the database come back without the
        partition, nothing else could tell.

        Returns:
            Where it is read from: it differs from the answer's offset where the topic was recreated. None if no broker
            answers now, or the group has taken the partition away.

        Raises:
            OffsetOutOfRange: the offset belongs to a topic that was deleted and created again.
        """
        partition, start = claimed.claim.partition, claimed.next_offset
        if claimed.topic_recreated:
            why = f"the topic was deleted and created again since offset {start} was stored"
            skipped_to = self.skip_gap(partition, Gap(why))
            if skipped_to is None:
                return None
            start = skipped_to
        self._commits.note_start(claimed, start)
        if claimed.claim.first_offset is None and not self.confirm_membership({partition: start}):
            return None
        self._seek(partition, start)
        self._waiting.discard(partition)
        self._gaps.discard(partition)  # Of an earlier claim; whether there still is one, the next poll tells.
        return start

    def skip_gap(self, partition: Partition, gap: Gap) -> int | None:
        """Read a partition from behind a gap, or from the end of the log that the operator chose.

        Returns:
            Where it is read from. It must be stored before any record is: a crash would skip again.
            None if no broker answers for the partition now.

        Raises:
            OffsetOutOfRange: the operator chose none.
        """
        policy = self._settings.kafka_offset_out_of_range
        if policy == "fail":
            raise OffsetOutOfRange(
                f"{partition.topic}[{partition.partition}]: {gap.why}. Records may be missing. To go on, set "
                "WORKER_KAFKA_OFFSET_OUT_OF_RANGE=earliest (the oldest record that can be read) or latest (only new "
                "ones)"
            )
        offset = gap.go_on_at if policy == "earliest" else None
        if offset is None:
            with kafka_problems("skip a gap"):
                offset = self._offsets.ends([partition], policy).get(partition)
        if offset is None:
            return None
        log.warning("skipping over a gap: records may be missing", partition=partition, why=gap.why, read_from=offset)
        self._seek(partition, offset)
        self._gaps.discard(partition)
        return offset

    def release(self, partitions: Collection[Partition]) -> None:
        """Read nothing of these assigned partitions until they are claimed again."""
        self._waiting |= self._assigned() & set(partitions)

    def confirm_membership(self, stored_offsets: Mapping[Partition, int]) -> bool:
        """Ask the group whether this worker still belongs to it; see `GroupCommits.accepts`."""
        return self._commits.accepts(self._assigned_of(stored_offsets))

    def commit(self, next_offsets: Mapping[Partition, int], *, wait_s: float = 0) -> None:
        """Tell Kafka what is stored, for its lag tools to see; the truth stays in the database.

        Args:
            next_offsets: offsets of partitions; those that are not ours any more are left out.
            wait_s: how long to wait for the broker's answer, in seconds; by default it is not waited for.
        """
        self._commits.commit(self._assigned_of(next_offsets), wait_s)

    def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, LogPosition]:
        """Return how far owned partitions are read; those that no broker answers for are left out."""
        with kafka_problems("ask for the end of the log"):
            return self._offsets.positions(self._assigned() & set(partitions))

    def check_topic(self) -> bool:
        """Look whether the topic is still the one that was claimed.

        Returns:
            False if it was deleted and created again: its partitions must be claimed again.

        Raises:
            ConfigurationError: it was deleted.
            Away: the client does not know it any more, and no broker can be reached.
        """
        try:
            known = self._offsets.topic_id()
        except LookupError:
            known = require_topic(self._settings, self._settings.kafka_topic)
        claimed = {self._topic_ids.get(partition) for partition in self._assigned()}
        return known is None or claimed <= {known, None}

    def close(self, timeout_s: float) -> None:
        """Leave the group; a rebalance under way, or a broker that is away, must not hold it up for longer."""
        self._consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))

    def _subscribe(self) -> None:
        self._consumer.subscribe([self._settings.kafka_topic], listener=self._assignments)

    def _join_again_if_forgotten(self) -> None:
        """Join again when a rebalance took our partitions and brought none, which the client (3.0.12) may do."""
        patience_s = self._settings.kafka_session_timeout_ms / 1000
        if self._assignments.forgotten(patience_s):
            log.warning("a rebalance has brought no partitions: joining the group again", waited_s=patience_s)
            with kafka_problems("leave the group"):
                self._consumer.unsubscribe()
            self._subscribe()

    def _take_notes(self) -> list[Assignment]:
        notes = self._assignments.take()
        for note in notes:
            self._gaps.difference_update(note.partitions)
            for partition in note.partitions:
                # Any position will do while it waits; without one, each poll raises for all partitions.
                self._seek(partition, 0)
        return notes

    def _pause(self, *, everything: bool) -> None:
        assigned = self._consumer.assignment()
        held = self._waiting | self._gaps
        blocked = assigned if everything else {partition for partition in assigned if partition in held}
        self._consumer.pause(*blocked)
        self._consumer.resume(*(assigned - blocked))

    def _seek(self, partition: Partition, offset: int) -> None:
        if partition in self._assigned():
            self._consumer.seek(TopicPartition(*partition), offset)

    def _assigned(self) -> set[Partition]:
        return {Partition(*partition) for partition in self._consumer.assignment()}

    def _assigned_of(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        return {partition: offsets[partition] for partition in offsets.keys() & self._assigned()}

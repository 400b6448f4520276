"""The database: claims on partitions, and chunks stored in one transaction with the offsets they end at."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from registry import erasures
from schemas.kept_text import KEEP_ALL, Keeping
from schemas.roles import NO_ROLES, Role
from worker.claims import Claim, Claimed
from worker.records import Chunk, Partition, Record, Rejected, Utterance, Written
from worker.storage.bisect import bisect
from worker.storage.database import database_problems
from worker.storage.erase import without_erased
from worker.storage.offsets import StoredOffset, Verdict, judge
from worker.storage.results import RowWriter
from worker.storage.row_limit import RowLimit
from worker.storage.tombstones import delete_rows, without_deleted

log = structlog.get_logger(__name__)

# A group that is new to the topic begins each partition where the first of its claims says. A partition that is added
# later has no row then, and begins at its beginning.
_BEGIN_GROUP: Final = text("""
    INSERT INTO consumer_offsets (group_id, topic, partition, topic_id, next_offset, epoch)
    SELECT :group_id, :topic, first.partition, :topic_id, first.next_offset, 0
    FROM unnest(CAST(:partitions AS int[]), CAST(:next_offsets AS bigint[])) AS first (partition, next_offset)
    WHERE NOT EXISTS (SELECT FROM consumer_offsets WHERE group_id = :group_id AND topic = :topic)
    ORDER BY first.partition
    ON CONFLICT DO NOTHING
""")

_CLAIM: Final = text("""
    INSERT INTO consumer_offsets (group_id, topic, partition, topic_id, next_offset, epoch)
    VALUES (:group_id, :topic, :partition, :topic_id, :start, 1)
    ON CONFLICT (group_id, topic, partition)
    DO UPDATE SET epoch = consumer_offsets.epoch + 1, updated_at = now()
    RETURNING epoch, next_offset, topic_id
""")

# In one order, or two workers that store the same partitions could deadlock. Marks of what is erased wait until the
# transaction ends.
_LOCK: Final = text("""
    SELECT topic, partition, epoch, next_offset, pg_advisory_xact_lock_shared(:erasing)
    FROM consumer_offsets
    JOIN unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])) AS chunk (topic, partition)
    USING (topic, partition)
    WHERE group_id = :group_id
    ORDER BY topic, partition
    FOR UPDATE OF consumer_offsets
""")

# A later statement than the lock's, so it sees each mark that the lock did not keep waiting.
_MOVE: Final = text("""
    WITH done AS (
        UPDATE consumer_offsets AS stored
        SET next_offset = moved.next_offset, topic_id = coalesce(moved.topic_id, stored.topic_id), updated_at = now()
        FROM unnest(
            CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:next_offsets AS bigint[]),
            CAST(:topic_ids AS text[])
        ) AS moved (topic, partition, next_offset, topic_id)
        WHERE group_id = :group_id AND stored.topic = moved.topic AND stored.partition = moved.partition
        AND (stored.next_offset, stored.topic_id)
            IS DISTINCT FROM (moved.next_offset, coalesce(moved.topic_id, stored.topic_id))
    )
    SELECT EXISTS (SELECT FROM erasures)
""")

_END_WAITS: Final = text("""
    SELECT set_config('lock_timeout', CAST(CAST(setting AS int) / 2 AS text), true)
    FROM pg_settings WHERE name = 'statement_timeout'
""")

_STORED: Final = text("""
    SELECT topic, partition, next_offset FROM consumer_offsets WHERE group_id = :group_id AND topic = :topic
""")

_REFUSALS: Final[dict[Verdict, str]] = {
    "claimed by another": "partitions have another owner: their records are dropped here, and read again by the owner",
    "stands elsewhere": "stored offsets are not where this worker left them: the partitions are claimed and read again",
}


class ResultStore:
    """Owned by one storage thread; every method is one transaction.

    Args:
        engine: where the tables are.
        group_id: the consumer group whose offsets it keeps.
        normalizer: written into each row.
        channel_roles: roles of speakers by channel, for transcripts that name no role.
        most_in_a_row: stop when more rows than this are refused one after the other; None never does.
        delete: whether tombstones delete rows; else they are passed over.
        keeping: what rows keep of texts.
        publish: hands on the utterances of rows that are written, with model version and convention, and returns when
            their results are safe; None where they are stored only.
    """

    def __init__(  # noqa: PLR0913 - what the operator can say of storing.
        self,
        engine: Engine,
        group_id: str,
        *,
        normalizer: str,
        channel_roles: Mapping[str, Role] = NO_ROLES,
        most_in_a_row: int | None = None,
        delete: bool = False,
        keeping: Keeping = KEEP_ALL,
        publish: Callable[[Sequence[Utterance], str, str], None] | None = None,
    ) -> None:
        self._engine = engine
        self._publish = publish
        self._group_id = group_id
        self._rows = RowWriter(normalizer, channel_roles, keeping)
        self._delete = delete
        self._most_in_a_row = most_in_a_row
        self._row_limit = RowLimit()
        self._topic_ids: dict[Partition, str | None] = {}

    def claim(self, claims: Sequence[Claim]) -> tuple[Claimed, ...]:
        """Own partitions from this moment: their owner before can write nothing of them any more.

        A claim that was withdrawn is left out. One that is withdrawn while its statement is on the way may still
        succeed; the partition's owner then finds its next chunk refused, and claims again.

        Returns:
            The answers to the claims that were still wanted.

        Raises:
            Away: the database cannot be reached; the call may be repeated.
        """
        wanted = sorted((claim for claim in claims if claim.wanted), key=lambda claim: claim.partition)
        answers = []
        with database_problems(), self._engine.begin() as connection:
            # In one order, or two workers that claim the same partitions could deadlock.
            for claim in wanted:
                asked = {"group_id": self._group_id, "topic_id": claim.topic_id, "start": claim.start}
                asked |= claim.partition._asdict()
                if claim.first_starts:
                    firsts = {
                        "partitions": list(claim.first_starts),
                        "next_offsets": list(claim.first_starts.values()),
                    }
                    connection.execute(_BEGIN_GROUP, asked | firsts)
                answers.append(Claimed(claim, *connection.execute(_CLAIM, asked).one()))
        self._topic_ids |= {claim.partition: claim.topic_id for claim in wanted}
        return tuple(answers)

    def write(self, chunk: Chunk, bury: Callable[[Sequence[Rejected]], None]) -> None:
        """Store a chunk's rows and move its offsets, or do nothing at all.

        Partitions that were claimed by another worker, or whose stored offset is not where the chunk begins, go to
        ``chunk.fenced`` and their records are dropped. Records that were erased for good are left out. Rows that the
        database refuses, and tombstones, are found by bisection and join ``chunk.rejected``.

        Args:
            chunk: classified; it is changed as said above.
            bury: hands rejected records to the dead-letter topic and returns when they are safe there.

        Raises:
            Away: the database or a topic cannot be reached; the call may be repeated.
            TooManyDeadLetters: ``bury`` says that the deployment is to blame.
        """
        with database_problems(), self._engine.begin() as connection:
            marked = self._move(connection, chunk)
            utterances, undeleted, deleted = chunk.utterances, list[Rejected](), 0
            if self._delete and chunk.tombstones:
                undeleted, deleted = self._delete_rows(connection, chunk.tombstones)
                utterances = without_deleted(utterances, chunk.tombstones)
            wanted = without_erased(connection, utterances) if marked else utterances
            refused, written = self._insert(connection, wanted, chunk)
            written = written.plus(erased=len(utterances) - len(wanted))
            refused = [*undeleted, *refused]
            bury([*chunk.rejected, *refused])
            culprits = {id(item.record) for item in refused}
            if self._publish:
                kept = [item for item in wanted if id(item.record) not in culprits]
                self._publish(kept, chunk.model_version, chunk.convention)
        # Only now, since a transaction that failed may be repeated with the same chunk.
        chunk.written = written.plus(deleted=deleted)
        chunk.rejected += refused
        chunk.utterances = [item for item in chunk.utterances if id(item.record) not in culprits]
        chunk.tombstones = [record for record in chunk.tombstones if id(record) not in culprits]

    def _move(self, connection: Connection, chunk: Chunk) -> bool:
        """Move the offsets first: it locks them, so that no claim comes between this and the commit.

        Returns:
            Whether anything was ever erased for good.
        """
        partitions = sorted(chunk.next_offsets)
        if not partitions:
            return False
        asked = {
            "erasing": erasures.LOCK,
            "group_id": self._group_id,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
        }
        rows = {
            Partition(row.topic, row.partition): StoredOffset(row.epoch, row.next_offset)
            for row in connection.execute(_LOCK, asked)
        }
        self._fence(chunk, rows)
        moved = [partition for partition in partitions if partition in chunk.next_offsets]
        if not moved:
            return False
        offsets = {
            "group_id": self._group_id,
            "topics": [partition.topic for partition in moved],
            "partitions": [partition.partition for partition in moved],
            "next_offsets": [chunk.next_offsets[partition] for partition in moved],
            "topic_ids": [self._topic_ids.get(partition) for partition in moved],
        }
        return bool(connection.scalar(_MOVE, offsets))

    def _fence(self, chunk: Chunk, rows: Mapping[Partition, StoredOffset]) -> None:
        """Drop from a chunk the partitions whose offset it may not move."""
        verdicts = {
            partition: judge(rows.get(partition), chunk.epochs[partition], chunk.expected[partition], next_offset)
            for partition, next_offset in chunk.next_offsets.items()
        }
        for verdict, event in _REFUSALS.items():
            fenced = sorted(partition for partition in verdicts if verdicts[partition] == verdict)
            if fenced:
                chunk.fenced |= {partition: chunk.epochs[partition] for partition in fenced}
                expected = [chunk.expected[partition] for partition in fenced]
                stored = [rows[partition].next_offset if partition in rows else None for partition in fenced]
                dropped = chunk.drop(set(fenced).__contains__)
                chunk.fenced_records += dropped
                log.warning(event, partitions=fenced, expected=expected, stored=stored, records=dropped)

    def _delete_rows(self, connection: Connection, tombstones: Sequence[Record]) -> tuple[list[Rejected], int]:
        """Delete the rows that tombstones name, and return what the database refuses and how many rows went."""
        deleted = 0

        def delete(run: Sequence[Record]) -> None:
            nonlocal deleted
            with database_problems(), connection.begin_nested():
                rows = delete_rows(connection, run)
            deleted += rows

        culprits = bisect(tombstones, delete, self._most_in_a_row)
        return [Rejected(record, "store", error) for record, error in culprits], deleted

    def _insert(
        self, connection: Connection, utterances: Sequence[Utterance], chunk: Chunk
    ) -> tuple[list[Rejected], Written]:
        """Write a chunk's rows, each under a savepoint with others; return what was refused, and what was done."""
        written = Written()

        def insert(run: Sequence[Utterance]) -> None:
            nonlocal written
            with database_problems():
                done = self._rows.write(connection, run, chunk.model_version, chunk.convention)
            written = written.plus(**done._asdict())

        attempt = partial(self._row_limit.insert, insert=insert, statement_timeout=partial(_timeout, connection))
        culprits = bisect(utterances, attempt, self._most_in_a_row)
        return [Rejected(item.record, "store", error) for item, error in culprits], written


def _timeout(connection: Connection) -> str:
    """Return ``statement_timeout``, and have the transaction's waits for locks end in half of it: they are outages."""
    connection.execute(_END_WAITS)
    return str(connection.scalar(text("SHOW statement_timeout")))


def stored_offsets(engine: Engine, group_id: str, topic: str) -> dict[Partition, int]:
    """Return where a group stands in each partition of a topic.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        found = connection.execute(_STORED, {"group_id": group_id, "topic": topic})
        return {Partition(row.topic, row.partition): row.next_offset for row in found}

"""The database: claims on partitions, and chunks stored in one transaction with the offsets they end at."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast
from zlib import crc32

import psycopg
import structlog
from sqlalchemy import Connection, Engine, text

from schemas.emotions import EMOTIONS
from worker.bisection import bisect
from worker.database import database_problems
from worker.records import Chunk, Claim, Claimed, Partition, Rejected, Utterance

log = structlog.get_logger(__name__)

_CLAIM: Final = text("""
    INSERT INTO consumer_offsets (group_id, topic, partition, topic_id, next_offset, epoch)
    VALUES (:group_id, :topic, :partition, :topic_id, :start, 1)
    ON CONFLICT (group_id, topic, partition)
    DO UPDATE SET epoch = consumer_offsets.epoch + 1, updated_at = now()
    RETURNING epoch, next_offset, topic_id
""")

_MOVE: Final = text("""
    UPDATE consumer_offsets
    SET next_offset = :next_offset, topic_id = coalesce(:topic_id, topic_id), updated_at = now()
    WHERE group_id = :group_id AND topic = :topic AND partition = :partition AND epoch = :epoch
""")

# What a message may be, column by column, with the Postgres type that binary COPY must be told. The emotions travel as
# the text of an array: the driver spends as long on a list of one as on all the other columns.
_COLUMNS: Final = {
    "transcript_id": "text",
    "source": "text",
    "session_id": "text",
    "speaker": "text",
    "segment": "int4",
    "text": "text",
    "spoken_at": "timestamptz",
    "emotions": "text",
    **dict.fromkeys(EMOTIONS, "float4"),
    "model_version": "text",
    "normalizer": "text",
    "kafka_topic": "text",
    "kafka_partition": "int4",
    "kafka_offset": "int8",
}
_TYPES: Final = list(_COLUMNS.values())
_NAMES: Final = ", ".join(_COLUMNS)
_UNSCORED: Final = (None,) * len(EMOTIONS)

# A pooler keeps sessions, and temporary tables with them, beyond a worker's life: another layout gets another name.
_INCOMING: Final = f"incoming_{crc32(str(_COLUMNS).encode()):08x}"
_TEMPORARY: Final = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS {_INCOMING}
    ON COMMIT DELETE ROWS AS SELECT {_NAMES.replace("emotions", "emotions::text")} FROM emotion_results WITH NO DATA
"""  # noqa: S608 - the names are the constants above.
_COPY: Final = f"COPY {_INCOMING} ({_NAMES}) FROM STDIN (FORMAT BINARY)"
# Rows go in by key, so that two workers that replay each other's rows lock them in one order.
_MERGE: Final = f"""
    INSERT INTO emotion_results ({_NAMES})
    SELECT {_NAMES.replace("emotions", "emotions::text[]")} FROM {_INCOMING} ORDER BY transcript_id
    ON CONFLICT (transcript_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "transcript_id")}, processed_at = now()
"""  # noqa: S608 - the names are the constants above.


class ResultStore:
    """Owned by one storage thread; every method is one transaction.

    Args:
        engine: where the tables are.
        group_id: the consumer group whose offsets it keeps.
        normalizer: written into each row.
        most_in_a_row: stop when more rows than this are refused one after the other; None never does.
    """

    def __init__(
        self,
        engine: Engine,
        group_id: str,
        *,
        normalizer: str,
        most_in_a_row: int | None = None,
    ) -> None:
        self._engine = engine
        self._group_id = group_id
        self._normalizer = normalizer
        self._most_in_a_row = most_in_a_row
        self._topic_ids: dict[Partition, str | None] = {}

    def claim(self, claims: Sequence[Claim]) -> tuple[Claimed, ...]:
        """Own partitions from this moment: whoever owned them before can write nothing of them any more.

        Raises:
            Away: the database cannot be reached; the call may be repeated.
        """
        answers = []
        with database_problems(), self._engine.begin() as connection:
            # In one order, or two workers that claim the same partitions could deadlock.
            for claim in sorted(claims, key=lambda claim: claim.partition):
                asked = {"group_id": self._group_id, "topic_id": claim.topic_id, "start": claim.start}
                row = connection.execute(_CLAIM, asked | claim.partition._asdict()).one()
                answers.append(Claimed(claim, *row))
        self._topic_ids |= {claim.partition: claim.topic_id for claim in claims}
        return tuple(answers)

    def write(self, chunk: Chunk, bury: Callable[[Sequence[Rejected]], None]) -> None:
        """Store a chunk's rows and move its offsets, or do nothing at all.

        Records of partitions that have another owner by now are dropped from the chunk. Rows that the database
        refuses are found by bisection and join ``chunk.rejected``.

        Args:
            chunk: classified; it is changed as said above.
            bury: hands rejected records to the dead-letter topic and returns when they are safe there.

        Raises:
            Away: the database or the dead-letter topic cannot be reached; the call may be repeated.
            TooManyDeadLetters: ``bury`` says that the deployment is to blame.
        """
        with database_problems(), self._engine.begin() as connection:
            self._move(connection, chunk)
            refused = self._insert(connection, chunk.utterances, chunk.model_version)
            bury([*chunk.rejected, *refused])
        # Only now, since a transaction that failed may be repeated with the same chunk.
        chunk.rejected += refused
        culprits = {id(item.record) for item in refused}
        chunk.utterances = [item for item in chunk.utterances if id(item.record) not in culprits]

    def _move(self, connection: Connection, chunk: Chunk) -> None:
        """Move the offsets first: it locks them, so that no claim comes between this and the commit."""
        fenced = set()
        for partition in sorted(chunk.next_offsets):
            moved = connection.execute(
                _MOVE,
                {
                    "group_id": self._group_id,
                    **partition._asdict(),
                    "topic_id": self._topic_ids.get(partition),
                    "next_offset": chunk.next_offsets[partition],
                    "epoch": chunk.epochs[partition],
                },
            ).rowcount
            if not moved:
                fenced.add(partition)
        if fenced:
            log.warning(
                "partitions have another owner: their records are dropped here and stored there",
                partitions=sorted(fenced),
            )
            chunk.drop(fenced.__contains__)

    def _insert(self, connection: Connection, utterances: Sequence[Utterance], model_version: str) -> list[Rejected]:
        """Insert rows, each under a savepoint with others, and return what the database refuses."""

        def attempt(run: Sequence[Utterance]) -> None:
            with database_problems(), connection.begin_nested():
                if len(run) < len(utterances):  # The rows of the parts before this one are merged already.
                    connection.exec_driver_sql(f"DELETE FROM {_INCOMING}")  # noqa: S608 - a constant.
                self._copy(connection, run, model_version)

        if not utterances:
            return []
        connection.exec_driver_sql(_TEMPORARY)
        culprits = bisect(utterances, attempt, self._most_in_a_row)
        return [Rejected(item.record, "store", error) for item, error in culprits]

    def _copy(self, connection: Connection, utterances: Sequence[Utterance], model_version: str) -> None:
        # The last utterance of an id wins: one statement must not touch a row twice.
        unique = {item.id: item for item in utterances}
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with driver.cursor() as cursor:
            with cursor.copy(_COPY) as copy:
                copy.set_types(_TYPES)
                for item in unique.values():
                    copy.write_row(self._row(item, model_version))
            cursor.execute(_MERGE)

    def _row(self, item: Utterance, model_version: str) -> tuple[Any, ...]:
        transcript, record = item.transcript, item.record
        return (
            item.id,
            transcript.source,
            transcript.session_id,
            transcript.speaker,
            transcript.segment,
            transcript.text.replace("\0", ""),
            transcript.spoken_at,
            f"{{{','.join(item.emotions or ())}}}",
            *(item.scores or _UNSCORED),
            model_version,
            self._normalizer,
            record.topic,
            record.partition,
            record.offset,
        )

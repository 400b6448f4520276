"""Rows of `emotion_results`, as the transaction of a chunk writes and deletes them.

Three rules decide. A row is known by its transcript's id and source. Of two records of one identity, the one with the
later timestamp wins; of equal timestamps, the one that is stored last. A replayed record has the timestamp that it had
first. An unknown timestamp is -1, so it is later than no other. All rows of a message are of one record: its first part
has the message's own id, and where that row is written, the parts of an earlier record go.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from struct import pack
from typing import Any, Final, cast

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import Connection

from schemas.emotions import EMOTIONS
from schemas.kept_text import KEEP_ALL, Keeping
from schemas.roles import Role, role_of
from worker.records import Identity, Utterance, Written, all_parts

# What a message may be, column by column, with the Postgres type that binary COPY must be told.
COLUMNS: Final = {
    "transcript_id": "text",
    "source": "text",
    "session_id": "text",
    "speaker": "text",
    "role": "text",
    "segment": "int4",
    "text": "text",
    "language": "text",
    "asr_confidence": "float4",
    "attributes": "jsonb",
    "spoken_at": "timestamptz",
    "emotions": "text[]",
    **dict.fromkeys(EMOTIONS, "float4"),
    "not_scored": "text",
    "model_version": "text",
    "convention": "text",
    "normalizer": "text",
    "kafka_topic": "text",
    "kafka_partition": "int4",
    "kafka_offset": "int8",
    "kafka_timestamp": "int8",
    "message_id": "text",
    "part": "int4",
    "cut": "text",
    "windows": "int2",
    "text_hash": "bytea",
}
TYPES: Final = list(COLUMNS.values())
NAMES: Final = ", ".join(COLUMNS)
KEY: Final = ("transcript_id", "source")
_UNSCORED: Final = (None,) * len(EMOTIONS)

# It lives within a savepoint: a temporary table that outlives its transaction keeps Postgres from freezing old rows.
_INCOMING: Final = "incoming_rows"
_CREATE: Final = (
    f"CREATE TEMPORARY TABLE {_INCOMING} ON COMMIT DROP AS SELECT {NAMES} FROM emotion_results WITH NO DATA"  # noqa: S608 - the names are the constants above.
)
_DROP: Final = f"DROP TABLE {_INCOMING}"

# Rows go in by key, as COPY's do, so that two workers that replay each other's rows lock them in one order.
_MERGE: Final = f"""
    WITH incoming AS MATERIALIZED (
        SELECT new.*, old.source IS NOT NULL AS known, old.kafka_timestamp > new.kafka_timestamp AS outdated,
               coalesce(new.part, 1) = 1 AS first,
               old.session_id IS DISTINCT FROM new.session_id AS differs
        FROM {_INCOMING} AS new LEFT JOIN emotion_results AS old USING (transcript_id, source)
    ), written AS (
        INSERT INTO emotion_results ({NAMES})
        SELECT {NAMES} FROM incoming ORDER BY transcript_id COLLATE "C", source COLLATE "C"
        ON CONFLICT (transcript_id, source) DO UPDATE
        SET {", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in KEY)}, processed_at = now()
        WHERE excluded.kafka_timestamp >= emotion_results.kafka_timestamp
    )
    SELECT count(*) FILTER (WHERE known), count(*) FILTER (WHERE NOT coalesce(outdated, false)),
           count(*) FILTER (WHERE outdated AND first), count(*) FILTER (WHERE known AND differs AND NOT outdated)
    FROM incoming
"""  # noqa: S608 - the names are the constants above.

# Rows of a message whose first row is of another record. The first row was written or locked by the merge, so no other
# worker comes between. now() is the time of the transaction: it tells a record that is merely delivered again, too.
_SWEEP: Final = f"""
    DELETE FROM emotion_results AS part
    USING emotion_results AS first, {_INCOMING} AS new
    WHERE coalesce(new.part, 1) = 1 AND first.transcript_id = new.transcript_id AND first.source = new.source
      AND part.message_id = new.transcript_id AND part.source = new.source AND part.part > 1
      AND (part.processed_at = now(), part.kafka_topic, part.kafka_partition, part.kafka_offset)
        <> (first.processed_at = now(), first.kafka_topic, first.kafka_partition, first.kafka_offset)
"""  # noqa: S608 - the names are the constants above.


class RowWriter:
    """Writes rows on the connection of one storage thread.

    New rows are copied straight into the table. Where some are there already, they are merged through a temporary
    table, as are those after them until a merge finds none. A message of several parts that comes again meets the row
    of its first part, so it is merged.

    Args:
        normalizer: version of the text normalizer, written into each row.
        channel_roles: roles of speakers by channel, for transcripts that name no role.
        keeping: what rows keep of texts.
    """

    def __init__(self, normalizer: str, channel_roles: Mapping[str, Role], keeping: Keeping = KEEP_ALL) -> None:
        self._normalizer = normalizer
        self._channel_roles = channel_roles
        self._keeping = keeping
        self._straight = True

    def write(
        self, connection: Connection, utterances: Sequence[Utterance], model_version: str, convention: str
    ) -> Written:
        """Write the rows of utterances, classified by a model and a convention, under a savepoint: all or none.

        Raises:
            psycopg.Error: the database refuses a row, or cannot be reached.
        """
        newest, written = _newest(utterances)
        parts = all_parts(newest.values())
        if len(parts) > len(newest):  # An id that looks like a part's may be a message's own.
            newest, others = _newest(parts)
            written = written.plus(**others._asdict())
        rows = [self.row(newest[identity], model_version, convention) for identity in sorted(newest)]
        if self._straight:
            try:
                with connection.begin_nested():
                    copy_rows(connection, "emotion_results", rows)
                return written.plus(rows=len(rows))
            except psycopg.errors.UniqueViolation:
                self._straight = False
        with connection.begin_nested():
            connection.exec_driver_sql(_CREATE)
            copy_rows(connection, _INCOMING, rows)
            known, count, outdated, overwritten = connection.exec_driver_sql(_MERGE).one()
            deleted = connection.exec_driver_sql(_SWEEP).rowcount
            connection.exec_driver_sql(_DROP)
        self._straight = not known
        return written.plus(rows=count, overwritten=overwritten, outdated=outdated, deleted=deleted)

    def row(self, item: Utterance, model_version: str, convention: str) -> tuple[Any, ...]:
        """Return the values of an utterance's row, in the order of `COLUMNS`."""
        transcript, record = item.transcript, item.record
        kept = self._keeping.keep(transcript.text)
        return (
            item.id,
            item.source,
            transcript.session_id,
            transcript.speaker,
            role_of(transcript, self._channel_roles),
            transcript.segment,
            kept.text,
            transcript.language,
            transcript.asr_confidence,
            transcript.attributes,
            transcript.spoken_at,
            tuple(item.emotions or ()),
            *(item.scores or _UNSCORED),
            item.not_scored,
            model_version,
            convention,
            self._normalizer,
            record.topic,
            record.partition,
            record.offset,
            item.timestamp,
            item.message_id,
            item.part,
            item.cut,
            item.windows,
            kept.hash,
        )


class _Emotions(Dumper):
    """Names of emotions as a binary array of Postgres; the driver's own takes as long as all other columns together.

    Source: PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv.
    """

    format = Format.BINARY
    oid = psycopg.adapters.types["text"].array_oid

    def dump(self, obj: tuple[str, ...]) -> bytes:
        return _array(obj)


class _Json(Dumper):
    """JSON that is written already, as binary jsonb.

    Source: PostgreSQL, src/backend/utils/adt/jsonb.c, jsonb_recv: a version of 1, then the text.
    """

    format = Format.BINARY
    oid = psycopg.adapters.types["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


@cache  # There are 128 sets of seven emotions.
def _array(names: tuple[str, ...]) -> bytes:
    oid = psycopg.adapters.types["text"].oid
    if not names:
        return pack("!iiI", 0, 0, oid)
    encoded = [name.encode() for name in names]
    return pack("!iiIii", 1, 0, oid, len(names), 1) + b"".join(pack("!i", len(name)) + name for name in encoded)


def _newest(utterances: Iterable[Utterance]) -> tuple[dict[Identity, Utterance], Written]:
    """Return the newest utterance of each identity, and how many others of them were outdated or overwritten."""
    newest: dict[Identity, Utterance] = {}
    outdated = overwritten = 0
    for item in utterances:
        before = newest.setdefault(item.identity, item)
        if before is item:
            continue
        if item.timestamp < before.timestamp:
            outdated += 1
            continue
        overwritten += item.transcript.session_id != before.transcript.session_id
        newest[item.identity] = item
    return newest, Written(overwritten=overwritten, outdated=outdated)


def copy_rows(connection: Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Copy rows into a table that has the columns of `COLUMNS`.

    Raises:
        psycopg.Error: the database refuses a row, or cannot be reached.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    with driver.cursor() as cursor:
        cursor.adapters.register_dumper(None, _Emotions)
        cursor.adapters.register_dumper(None, _Json)
        with cursor.copy(f"COPY {table} ({NAMES}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)

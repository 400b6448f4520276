"""Records without a value, which delete the rows of their key where that is set."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, text

from worker.records import Record, Utterance, known_timestamp
from worker.storage.delete_messages import delete_shadows

_DELETE: Final = tuple(
    text(f"""
    DELETE FROM emotion_results AS result
    USING unnest(CAST(:ids AS text[]), CAST(:topics AS text[]), CAST(:timestamps AS bigint[]))
        AS tombstone (transcript_id, topic, kafka_timestamp)
    WHERE result.{column} = tombstone.transcript_id AND result.kafka_topic = tombstone.topic
      AND result.kafka_timestamp <= tombstone.kafka_timestamp
    RETURNING result.transcript_id, result.source
    """)  # noqa: S608 - the columns are constants.
    for column in ("transcript_id", "message_id")
)
"""The first row of a message, and its further ones."""


def delete_rows(connection: Connection, tombstones: Iterable[Record]) -> int:
    """Delete rows, and the shadow's, of messages whose id is the key of a tombstone of their topic, but newer ones.

    Returns:
        How many rows were deleted.

    Raises:
        psycopg.Error: the database refuses, or cannot be reached.
    """
    named = [(name, record) for record in tombstones if (name := named_by(record))]
    if not named:
        return 0
    asked = {
        "ids": [name for name, _ in named],
        "topics": [record.topic for _, record in named],
        "timestamps": [known_timestamp(record.timestamp) for _, record in named],
    }
    rows = [row for statement in _DELETE for row in connection.execute(statement, asked)]
    delete_shadows(connection, rows)
    return len(rows)


def without_deleted(utterances: Sequence[Utterance], tombstones: Iterable[Record]) -> list[Utterance]:
    """Return the utterances of a chunk that no later tombstone of the chunk deletes.

    Later is what has a later timestamp; of equal ones, what has a later offset.
    """
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for record in tombstones:
        if name := named_by(record):
            place = (record.topic, name)
            last[place] = max(last.get(place, (-1, -1)), (known_timestamp(record.timestamp), record.offset))
    return [
        item
        for item in utterances
        if (item.timestamp, item.record.offset) > last.get((item.record.topic, item.id), (-2, -1))
    ]


def named_by(tombstone: Record) -> str | None:
    """Return the transcript's id that a tombstone's key holds; None where the key cannot be one."""
    key = tombstone.key or b""
    try:
        return key.decode() if key and b"\0" not in key else None
    except UnicodeDecodeError:
        return None

"""Whole messages deleted a few at a time, each time in a transaction of its own, and how old ones are found.

What is done is gone, so the same command goes on where an earlier one was stopped.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Boolean, ColumnElement, Connection, Engine, and_, func, literal_column, select, text

from schemas.tables import emotion_results, shadow_results
from worker.backoff import Stopped, wait_for
from worker.storage.database import database_problems
from worker.storage.row_conditions import begun_before

T = TypeVar("T")

RESULTS: Final = emotion_results.c

_BLOCKS: Final = 16
"""Blocks of a table that are looked through at once, 128 KiB: some hundred rows."""

_ROWS: Final = 500
"""Rows that are looked at together, in the order of time; more where they are of one moment."""

_BATCH: Final = 5_000
"""Rows of a transaction at most: where many are of one moment, or of none."""

_REST: Final = 4
"""How many times as long as it worked a look through a table rests, so that other queries do not feel it."""

_BLOCK_COUNT: Final = text("""
    SELECT pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int
""")

_DELETE: Final = tuple(
    text(f"""
    DELETE FROM emotion_results AS result
    USING unnest(CAST(:ids AS text[]), CAST(:sources AS text[])) AS message (id, source)
    WHERE result.{column} = message.id AND result.source = message.source
    RETURNING result.transcript_id, result.source, message.id AS message_id, result.spoken_at
    """)  # noqa: S608 - the columns are constants.
    for column in ("transcript_id", "message_id")
)
"""The first row of each message, and its further ones."""

_DELETE_SHADOWS: Final = text("""
    DELETE FROM shadow_results AS shadow
    USING unnest(CAST(:ids AS text[]), CAST(:sources AS text[])) AS gone (transcript_id, source)
    WHERE shadow.transcript_id = gone.transcript_id AND shadow.source = gone.source
""")


class Gone(NamedTuple):
    """How much was deleted, or would be."""

    rows: int = 0
    shadow_rows: int = 0
    labels: int = 0

    def plus(self, other: "Gone") -> "Gone":
        """Return the sum of both."""
        return Gone(*map(sum, zip(self, other, strict=True)))


def prune(engine: Engine, before: datetime, stop: Event) -> Gone:
    """Delete rows and shadow rows of what was said before a time; labels stay, and a replay may bring rows back.

    Rows that someone else holds, such as a rescoring, stay for the next time.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        before: time before which it was said, or scored by the shadow.
        stop: ends it after the batch in hand; the same call goes on from there.

    Raises:
        Stopped: told to stop.
        ConfigurationError: the database refuses us.
    """
    gone = Gone()
    for where in look_back(engine, before, stop):
        batch = partial(_prune_batch, and_(where, begun_before(before)))
        while (deleted := in_transaction(engine, stop, batch)).rows:
            gone = gone.plus(deleted)
    # The shadow's rows of what was deleted otherwise.
    for where in _look_through(engine, shadow_results.name, stop):
        statement = shadow_results.delete().where(where, shadow_results.c.scored_at < before)
        count = in_transaction(engine, stop, partial(Connection.execute, statement=statement)).rowcount
        gone = gone.plus(Gone(shadow_rows=count))
    return gone


def in_transaction(engine: Engine, stop: Event, act: Callable[[Connection], T]) -> T:
    """Do something in one transaction, again and again while the database is away.

    Raises:
        Stopped: told to stop.
        ConfigurationError: the database refuses us.
    """

    def attempt() -> T:
        with database_problems(), engine.begin() as connection:
            return act(connection)

    return wait_for("postgres", attempt, stop)


def look_back(engine: Engine, before: datetime, stop: Event) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that go through the rows before a time by its index, with a rest after each.

    What was deleted is not read again. Rows without a time come last, all together.

    Raises:
        Stopped: told to stop.
    """
    spoken = RESULTS.spoken_at
    rest: ColumnElement[bool] | None = spoken < before
    while rest is not None:
        since = time.monotonic()
        query = select(spoken).where(rest).order_by(spoken).offset(_ROWS).limit(1)
        until = in_transaction(engine, stop, partial(Connection.scalar, statement=query))
        yield rest if until is None else and_(rest, spoken <= until)
        rest = None if until is None else and_(spoken > until, spoken < before)
        _rest_since(since, stop)
    yield spoken.is_(None)


def _look_through(engine: Engine, table: str, stop: Event) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that go through a table once, some blocks at a time, with a rest after each.

    It needs no index, and reads nothing again of what was deleted.

    Raises:
        Stopped: told to stop.
    """
    blocks = in_transaction(engine, stop, lambda connection: connection.scalar(_BLOCK_COUNT, {"name": table}) or 0)
    for first in range(0, blocks, _BLOCKS):
        since = time.monotonic()
        here = f"{table}.ctid >= '({first},0)'::tid AND {table}.ctid < '({first + _BLOCKS},0)'::tid"
        yield literal_column(here, Boolean)
        _rest_since(since, stop)


def _rest_since(since: float, stop: Event) -> None:
    if stop.wait(_REST * (time.monotonic() - since)):
        raise Stopped


def lock_messages(
    connection: Connection, condition: ColumnElement[bool], *, skip_locked: bool = False
) -> dict[str, list[str]]:
    """Lock rows, and return the ids and sources of their messages."""
    # In the order in which others lock rows, or we and they could deadlock.
    key = (RESULTS.transcript_id.collate("C"), RESULTS.source.collate("C"))
    message = func.coalesce(RESULTS.message_id, RESULTS.transcript_id)
    query = select(message, RESULTS.source).where(condition).order_by(*key).limit(_BATCH)
    rows = connection.execute(query.with_for_update(skip_locked=skip_locked))
    found = sorted({(name, source) for name, source in rows})
    return {"ids": [name for name, _ in found], "sources": [source for _, source in found]}


def delete_messages(connection: Connection, messages: dict[str, list[str]]) -> tuple[list[Any], int]:
    """Delete messages with the shadow's rows of them; return what the rows were, and the number of the shadow's."""
    if not messages["ids"]:
        return [], 0
    rows = [row for statement in _DELETE for row in connection.execute(statement, messages)]
    return rows, delete_shadows(connection, rows)


def delete_shadows(connection: Connection, rows: Sequence[Any]) -> int:
    """Delete the shadow's rows of rows that were deleted, and return their number."""
    return connection.execute(_DELETE_SHADOWS, keys_of(rows)).rowcount if rows else 0


def keys_of(rows: Sequence[Any]) -> dict[str, list[str]]:
    """Return the ids and sources of rows that were deleted."""
    return {"ids": [row.transcript_id for row in rows], "sources": [row.source for row in rows]}


def _prune_batch(condition: ColumnElement[bool], connection: Connection) -> Gone:
    rows, shadows = delete_messages(connection, lock_messages(connection, condition, skip_locked=True))
    return Gone(len(rows), shadows)

"""The database's side of what is scored beside the flow: a candidate's scores, and stored texts scored anew."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func, select, text

from registry import versions
from registry.versions import ModelVersion
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from schemas.tables import emotion_results, model_versions
from worker.database import database_problems
from worker.scoring import Scored

_COLUMNS: Final = emotion_results.c
_PAGE: Final = 10_000
"""Rows found at once, without a lock; the query that finds them may have to look at all rows."""

_LET_GO: Final = "SET LOCAL idle_in_transaction_session_timeout = '10min'"
"""A batch stays locked while a model scores it, which on a CPU may be slow."""

# One array a column: a statement of any number of rows, which the driver sends at once.
_ARRAYS: Final = ", ".join(
    ["CAST(:transcript_id AS text[])", "CAST(:emotions AS text[])", *(f"CAST(:{name} AS real[])" for name in EMOTIONS)]
)
_SCORED: Final = f"unnest({_ARRAYS}) AS scored (transcript_id, emotions, {', '.join(EMOTIONS)})"
_SCORES: Final = ", ".join(f"scored.{name}" for name in EMOTIONS)

# By key, so that two workers that replay each other's rows lock them in one order.
_SHADOW: Final = text(f"""
    INSERT INTO shadow_results (transcript_id, model_version, emotions, {", ".join(EMOTIONS)})
    SELECT scored.transcript_id, :model_version, CAST(scored.emotions AS text[]), {_SCORES}
    FROM {_SCORED} ORDER BY scored.transcript_id
    ON CONFLICT (model_version, transcript_id) DO UPDATE
    SET emotions = excluded.emotions, {", ".join(f"{name} = excluded.{name}" for name in EMOTIONS)}, scored_at = now()
""")  # noqa: S608 - made of the constants above.

_RESCORE: Final = text(f"""
    UPDATE emotion_results AS result
    SET emotions = CAST(scored.emotions AS text[]), {", ".join(f"{name} = scored.{name}" for name in EMOTIONS)},
        model_version = :model_version, normalizer = :normalizer, processed_at = now()
    FROM {_SCORED}
    WHERE result.transcript_id = scored.transcript_id
""")  # noqa: S608 - made of the constants above.


class Stored(NamedTuple):
    """A row to score anew; the text is as received."""

    transcript_id: str
    text: str


class ShadowStore:
    """Where a candidate's scores go; each method is one transaction.

    Args:
        engine: one of its own, so that it never takes the flow's connection.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def candidate(self) -> ModelVersion | None:
        """Return the newest candidate, if there is one.

        Raises:
            Away: the database cannot be reached.
        """
        with database_problems(), self._engine.connect() as connection:
            return versions.candidate(connection)

    def write(self, model_version: str, scored: Sequence[Scored]) -> None:
        """Store what a candidate says; the last of an id wins, as in `emotion_results`.

        Raises:
            Away: the database cannot be reached; the call may be repeated.
        """
        with database_problems(), self._engine.begin() as connection:
            connection.execute(_SHADOW, _arrays(scored) | {"model_version": model_version})


class RescoreStore:
    """The rows that a model has not scored yet, of those that were said since a time; each method is one transaction.

    Args:
        engine: where the tables are.
        since: time from which transcripts count.
        model_version: the model's; rows that name it are done.
        created_at: when that model was made: what a later one has scored is left alone.
    """

    def __init__(self, engine: Engine, since: datetime, model_version: str, created_at: datetime) -> None:
        self._engine = engine
        self._since = since
        self._version = model_version
        self._created_at = created_at

    def count(self) -> int:
        """Return how many rows there are.

        Raises:
            Away: the database cannot be reached; so does each method.
        """
        with database_problems(), self._engine.connect() as connection:
            return connection.execute(select(func.count()).where(*self._older(connection))).scalar_one()

    def page(self, after: str | None) -> list[str]:
        """Return the ids of the next rows behind an id, in order; none behind the last one."""
        with database_problems(), self._engine.connect() as connection:
            query = select(_COLUMNS.transcript_id).where(*self._older(connection))
            if after is not None:
                query = query.where(_COLUMNS.transcript_id > after)
            return list(connection.execute(query.order_by(_COLUMNS.transcript_id).limit(_PAGE)).scalars())

    def rescore(self, ids: Sequence[str], score: Callable[[Sequence[Stored]], Sequence[Scored]]) -> int:
        """Score rows anew, but for those that someone else holds, or that are done by now.

        Args:
            ids: of the rows.
            score: gives the new scores; rows that it leaves out stay as they are.

        Returns:
            How many rows were written.
        """
        with database_problems(), self._engine.begin() as connection:
            connection.exec_driver_sql(_LET_GO)
            rows = connection.execute(
                select(_COLUMNS.transcript_id, _COLUMNS.text)
                .where(_COLUMNS.transcript_id.in_(ids), *self._older(connection))
                .order_by(_COLUMNS.transcript_id)
                .with_for_update(skip_locked=True)
            )
            scored = score([Stored._make(row) for row in rows])
            if scored:
                named = {"model_version": self._version, "normalizer": NORMALIZER}
                connection.execute(_RESCORE, _arrays(scored) | named)
            return len(scored)

    def _older(self, connection: Connection) -> tuple[ColumnElement[bool], ...]:
        """Return what holds of a row that is to be scored anew; a version that the registry does not know is older."""
        newer = select(model_versions.c.version).where(model_versions.c.created_at > self._created_at)
        done = [self._version, *connection.execute(newer).scalars()]
        return _COLUMNS.spoken_at >= self._since, _COLUMNS.model_version.not_in(done)


def registered(engine: Engine, version: str | None) -> ModelVersion | None:
    """Return the version of that name, without a name the champion, if there is one.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        return versions.by_version(connection, version) if version else versions.champion(connection)


def near(engine: Engine, name: str) -> list[str]:
    """Return the versions that are written most like a name, the nearest first.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        return versions.near(connection, name)


def _arrays(scored: Sequence[Scored]) -> dict[str, list[Any]]:
    last = list({item.transcript_id: item for item in scored}.values())
    empty = [None] * len(EMOTIONS)
    columns = zip(*(item.scores or empty for item in last), strict=True)
    return {
        "transcript_id": [item.transcript_id for item in last],
        "emotions": [f"{{{','.join(item.emotions)}}}" for item in last],
        **dict(zip(EMOTIONS, map(list, columns), strict=True)),
    }

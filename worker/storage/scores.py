"""The database's side of scores outside the flow: a candidate's scores, and stored texts scored again."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    REAL,
    ColumnElement,
    Connection,
    Engine,
    and_,
    any_,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
)

from registry import versions
from registry.versions import ModelVersion
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from schemas.tables import emotion_results, model_versions
from worker.inference.assign import Scored
from worker.records import Classifier, Identity
from worker.storage.database import database_problems
from worker.storage.row_conditions import said_since, without_a_time

_COLUMNS: Final = emotion_results.c
_KEY: Final = (_COLUMNS.transcript_id, _COLUMNS.source)
_NEUTRAL: Final = EMOTIONS[-1]
_PAGE: Final = 10_000
"""Rows looked at together, without a lock."""

_LET_GO: Final = "SET LOCAL idle_in_transaction_session_timeout = '10min'"
"""A batch stays locked while a model scores it, which on a CPU may be slow."""

# One array a column: a statement of any number of rows, which the driver sends at once.
_ARRAYS: Final = ", ".join(
    [
        "CAST(:transcript_id AS text[])",
        "CAST(:source AS text[])",
        "CAST(:emotions AS text[])",
        *(f"CAST(:{name} AS real[])" for name in EMOTIONS),
        "CAST(:windows AS smallint[])",
    ]
)
_SCORED: Final = f"unnest({_ARRAYS}) AS scored (transcript_id, source, emotions, {', '.join(EMOTIONS)}, windows)"
_SCORES: Final = ", ".join(f"scored.{name}" for name in EMOTIONS)

# By key, so that erasures, and two workers that replay each other's rows, lock them in one order. The row of the
# transcript is locked against its deletion: what is erased or pruned meanwhile leaves no scores behind.
_SHADOW: Final = text(f"""
    INSERT INTO shadow_results (transcript_id, source, model_version, convention, emotions, {", ".join(EMOTIONS)})
    SELECT scored.transcript_id, scored.source, :model_version, :convention, CAST(scored.emotions AS text[]),
           {_SCORES}
    FROM {_SCORED} JOIN emotion_results AS result USING (transcript_id, source)
    ORDER BY scored.transcript_id COLLATE "C", scored.source COLLATE "C"
    FOR KEY SHARE OF result
    ON CONFLICT (model_version, transcript_id, source) DO UPDATE
    SET convention = excluded.convention, emotions = excluded.emotions,
        {", ".join(f"{name} = excluded.{name}" for name in EMOTIONS)}, scored_at = now()
""")  # noqa: S608 - made of the constants above.

_RESCORE: Final = text(f"""
    UPDATE emotion_results AS result
    SET emotions = CAST(scored.emotions AS text[]), {", ".join(f"{name} = scored.{name}" for name in EMOTIONS)},
        windows = scored.windows, not_scored = NULL, model_version = :model_version, convention = :convention,
        normalizer = :normalizer, processed_at = now()
    FROM {_SCORED}
    WHERE result.transcript_id = scored.transcript_id AND result.source = scored.source
""")  # noqa: S608 - made of the constants above.


class Place(NamedTuple):
    """Where a row stands in the order in which rows are scored: by time, those without a time last."""

    spoken_at: datetime | None
    identity: Identity


class Page(NamedTuple):
    """A stretch of rows in their order."""

    identities: list[Identity]
    """Those that are to be scored."""
    last: Place
    """Where the stretch ends."""


class Stored(NamedTuple):
    """A row to score again; the text is as received."""

    identity: Identity
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

    def write(self, model_version: str, convention: str, scored: Sequence[Scored]) -> None:
        """Store what a candidate says of rows that are still there; the last of an identity wins.

        Raises:
            Away: the database cannot be reached; the call may be repeated.
        """
        with database_problems(), self._engine.begin() as connection:
            connection.execute(_SHADOW, _arrays(scored) | {"model_version": model_version, "convention": convention})


class RescoreStore:
    """The rows that a model has not scored yet, of those that were said since a time; each method is one transaction.

    Args:
        engine: where the tables are.
        since: time from which transcripts count.
        classifier: the model; rows that name it and its convention, and carry neutral by its rule, are done. Rows of
            another language than its own are left alone, as are rows whose text was not kept.
        created_at: when that model was made: what a later one has scored is left alone.
        every_convention: whether rows of other conventions of labels are taken too, and moved to the model's.
    """

    def __init__(
        self,
        engine: Engine,
        since: datetime,
        classifier: Classifier,
        created_at: datetime,
        *,
        every_convention: bool = True,
    ) -> None:
        self._engine = engine
        self._since, self._spoken = since, _spoken_in(classifier.language)
        self._version, self._convention, self._rule = classifier.version, classifier.convention, classifier.rule
        self._created_at = created_at
        self._taken = true() if every_convention else _COLUMNS.convention == self._convention

    def count(self) -> int:
        """Return how many rows there are.

        Raises:
            Away: the database cannot be reached; so does each method.
        """
        with database_problems(), self._engine.connect() as connection:
            query = select(func.count()).where(said_since(self._since), *self._older(connection))
            return connection.execute(query).scalar_one()

    def page(self, after: Place | None) -> Page | None:
        """Return the next rows behind a place; None behind the last one.

        An index holds the order, so a page costs the same wherever it lies, and however many of its rows are done.
        """
        with database_problems(), self._engine.connect() as connection:
            if after is None or after.spoken_at is not None:
                order = (_COLUMNS.spoken_at, *_KEY)
                begun = _COLUMNS.spoken_at >= self._since
                behind = tuple_(*order) > tuple_(after.spoken_at, *after.identity) if after else begun
                if page := self._next(connection, order, behind):
                    return page
                after = None
            behind = tuple_(*_KEY) > tuple_(*after.identity) if after else true()
            return self._next(connection, _KEY, and_(without_a_time(self._since), behind))

    def _next(
        self, connection: Connection, order: Sequence[ColumnElement[Any]], behind: ColumnElement[bool]
    ) -> Page | None:
        # Whether a row is to be scored is no condition: the database would guess how many are, and may read them all.
        older = and_(*self._older(connection))
        query = select(_COLUMNS.spoken_at, *_KEY, older).where(behind).order_by(*order).limit(_PAGE)
        if not (rows := connection.execute(query).all()):
            return None
        identities = [Identity(name, source) for _, name, source, wanted in rows if wanted]
        moment, *key, _ = rows[-1]
        return Page(identities, Place(moment, Identity(*key)))

    def rescore(self, identities: Sequence[Identity], score: Callable[[Sequence[Stored]], Sequence[Scored]]) -> int:
        """Score rows again, but for those that someone else holds, or that are done by now.

        Args:
            identities: of the rows.
            score: gives the new scores; rows that it leaves out stay as they are.

        Returns:
            How many rows were written.
        """
        with database_problems(), self._engine.begin() as connection:
            connection.exec_driver_sql(_LET_GO)
            rows = connection.execute(
                select(*_KEY, _COLUMNS.text)
                .where(tuple_(*_KEY).in_(identities), said_since(self._since), *self._older(connection))
                .order_by(*_KEY)
                .with_for_update(skip_locked=True)
            )
            scored = score([Stored(Identity(name, source), said) for name, source, said in rows])
            if scored:
                named = {
                    "model_version": self._version,
                    "convention": self._convention,
                    "normalizer": NORMALIZER,
                }
                connection.execute(_RESCORE, _arrays(scored) | named)
            return len(scored)

    def _older(self, connection: Connection) -> tuple[ColumnElement[bool], ...]:
        """Return what holds of a row that is to be scored again; a version that the registry does not know is older."""
        newer = select(model_versions.c.version).where(model_versions.c.created_at > self._created_at)
        done = [self._version, *connection.execute(newer).scalars()]
        differs = or_(_COLUMNS.convention != self._convention, _breaks(self._rule))
        otherwise = and_(_COLUMNS.model_version == self._version, differs)
        older = or_(_COLUMNS.model_version.not_in(done), otherwise)
        return self._spoken, self._taken, _COLUMNS.text.is_not(None), older


def _spoken_in(language: str) -> ColumnElement[bool]:
    """Return what holds of a row in a language, or in none that is named; as `schemas.languages.is_foreign` has it."""
    named = func.lower(func.split_part(_COLUMNS.language, "-", 1))
    return or_(_COLUMNS.language.is_(None), named == language)


def _breaks(rule: Rule) -> ColumnElement[bool]:
    """Return what holds of a row that carries neutral though the rule says otherwise, or lacks it: no column has it."""
    has_neutral = literal(_NEUTRAL) == any_(_COLUMNS.emotions)
    if rule.neutral == "exclusive":
        should = func.cardinality(func.array_remove(_COLUMNS.emotions, _NEUTRAL)) == 0
    else:
        # In the precision of the column, in which the threshold was compared before.
        should = _COLUMNS.neutral >= cast(float(rule.thresholds[-1]), REAL)
    # An empty text has neither scores nor emotions.
    return and_(_COLUMNS.neutral.is_not(None), has_neutral != should)


def conventions_since(engine: Engine, since: datetime) -> set[str]:
    """Return the conventions of labels that rows follow, of those that were said since a time.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        return set(connection.execute(select(_COLUMNS.convention).where(said_since(since)).distinct()).scalars())


def registered(engine: Engine, version: str | None) -> ModelVersion | None:
    """Return the version of that name, without a name the champion, if there is one.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        return versions.by_version(connection, version) if version else versions.champion(connection)


def similar_versions(engine: Engine, name: str) -> list[str]:
    """Return the versions that are written most like a name, the nearest first.

    Raises:
        Away: the database cannot be reached.
    """
    with database_problems(), engine.connect() as connection:
        return versions.similar_versions(connection, name)


def _arrays(scored: Sequence[Scored]) -> dict[str, list[Any]]:
    last = list({item.identity: item for item in scored}.values())
    empty = [None] * len(EMOTIONS)
    columns = zip(*(item.scores or empty for item in last), strict=True)
    return {
        "transcript_id": [item.identity.transcript_id for item in last],
        "source": [item.identity.source for item in last],
        "emotions": [f"{{{','.join(item.emotions)}}}" for item in last],
        **dict(zip(EMOTIONS, map(list, columns), strict=True)),
        "windows": [item.windows for item in last],
    }

"""What bundles and earlier runs say to a new one: what a model has learnt, and what was judged already."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, Row, and_, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from registry.versions import ModelVersion
from schemas.tables import training_runs
from training.database import database_problems
from training.labels.table import latest
from training.last_words import ENGLISH

_COLUMNS: Final = training_runs.c
_DETAILS: Final = training_runs.c.details


class Learnt(NamedTuple):
    """What a model has learnt of the table of labels.

    Attributes:
        until: what came in later is new to it.
        whole: sets that it, or what it was fitted from, learnt before their labels had sides; what they say of it would
            flatter it, and all that comes of it.
    """

    until: datetime
    whole: list[str]


class Judged(NamedTuple):
    """A run that came to a verdict on a candidate against the champion."""

    run: int
    state: str
    model_version: str


def learnt(engine: Engine, model: ModelVersion) -> Learnt:
    """Return what a model has learnt: its bundle says it, or the run that made it; else it learnt its sets whole.

    Raises:
        UnusableDatabase: see `training.database`; so do all functions below.
    """
    taken = model.metrics.get("settings", {}).get("taken")
    if taken:
        return Learnt(datetime.fromisoformat(taken["at"]), list(taken["learnt_whole"]))
    made_by = _latest(engine, and_(_COLUMNS.model_version == model.version, _DETAILS.has_key("snapshot")))
    if made_by:
        details = made_by.details
        return Learnt(datetime.fromisoformat(details["snapshot"]["taken_at"]), details["learnt_whole"])
    return Learnt(model.created_at, sorted(model.metrics.get("rows", {})))


def last_judged(engine: Engine, champion: str) -> tuple[int, datetime] | None:
    """Return the latest run whose candidate was judged against this champion, and when it took its labels."""
    run = _latest(engine, _judged_against(champion))
    return run and (run.id, datetime.fromisoformat(run.details["snapshot"]["taken_at"]))


def judged_before(engine: Engine, champion: str, labels: str, settings: dict[str, Any]) -> Judged | None:
    """Return the latest run that came to a verdict on what comes of the same labels, settings and champion.

    Args:
        engine: of the database.
        champion: its version.
        labels: fingerprint of their snapshot.
        settings: as that run noted them.
    """
    same = _DETAILS.contains({"snapshot": {"fingerprint": labels}}) & (_DETAILS["settings"] == literal(settings, JSONB))
    run = _latest(engine, _judged_against(champion) & same)
    return run and Judged(run.id, run.state, run.model_version)


def labels_since(engine: Engine, moment: datetime) -> int:
    """Count the labels that came in, or were changed, after a moment, whenever they were given, and can be learnt."""
    rows = latest().subquery()
    learnable = (rows.c.origin != ENGLISH) & (func.cardinality(rows.c.annotated) > 0)
    query = select(func.count()).select_from(rows).where(rows.c.imported_at > moment, learnable)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).scalar_one()


def _judged_against(champion: str) -> ColumnElement[bool]:
    # A verdict that came too late, since another model was promoted meanwhile, is none.
    return and_(
        _COLUMNS.state.in_(("promoted", "rejected")),
        ~_DETAILS.has_key("overtaken_by"),
        _DETAILS.contains({"champion": {"version": champion}}),
    )


def _latest(engine: Engine, of: ColumnElement[bool]) -> Row[Any] | None:
    query = select(training_runs).where(of).order_by(_COLUMNS.id.desc()).limit(1)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).one_or_none()

"""What bundles and earlier runs say to a new one: what a model has learnt, and what was judged already."""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, Row, Subquery, and_, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from registry.lifecycle import champion
from registry.postgres import database_problems
from registry.versions import ModelVersion
from schemas.tables import training_runs
from training.data.examples import RU_CALLS
from training.data.known_texts import KnownTexts, known_texts, tells_all
from training.data.public_sets import SOURCES
from training.data.splits import identity
from training.evaluate.error_budget import Look
from training.labels.latest_labels import ENGLISH, source_of
from training.labels.table import latest

_COLUMNS: Final = training_runs.c
_DETAILS: Final = training_runs.c.details

_PUBLIC: Final = {*(source.name for source in SOURCES), RU_CALLS}
_ROWS_AT_ONCE: Final = 2_000


class Learnt(NamedTuple):
    """What a model has learnt of the table of labels.

    Attributes:
        until: what came in later is new to it.
        whole: sets that it, or what it was fitted from, learnt before their labels had sides; what they say of it would
            flatter it, and all that comes of it.
        network: whether its network has learnt rows of the table that teach; else only its thresholds may have.
        texts: texts that its bundle knows; the origin of their labels does not matter.
        told: whether `whole` and `texts` are all that it knows, so that what came in earlier may be new to it too.
    """

    until: datetime
    whole: list[str]
    network: bool = False
    texts: KnownTexts = KnownTexts()
    told: bool = False

    def knows(self, origin: str, text: str) -> bool:
        """Return whether it has learnt a text, maybe under another origin."""
        return source_of(origin) in self.whole or self.texts.holds(identity(text))

    def tuned(self, at: str) -> dict[str, Any]:
        """Return what the bundle says of itself that comes of tuning this model to labels taken at that time."""
        return {"at": at, "learnt_whole": self.whole, "network": self.network}


def looks(engine: Engine, since: datetime, *, but: int) -> list[Look]:
    """Return the looks that the gate had at labels since a moment.

    A verdict that came too late, as another champion had been promoted, promoted nothing and spent nothing.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        since: when the first of them began.
        but: a run whose own look is left out.
    """
    query = select(
        _COLUMNS.id,
        _COLUMNS.started_at,
        _DETAILS["look"].label("look"),
        _DETAILS["champion"]["version"].astext.label("champion"),
    ).where(
        _DETAILS.has_key("look"), ~_DETAILS.has_key("overtaken_by"), _COLUMNS.started_at >= since, _COLUMNS.id != but
    )
    with database_problems(), engine.connect() as connection:
        return [
            Look(row.id, row.started_at, row.look["error"], row.look["rows"], row.champion)
            for row in connection.execute(query.order_by(_COLUMNS.id))
        ]


class Judged(NamedTuple):
    """A run that came to a verdict on a candidate against the champion."""

    run: int
    state: str
    model_version: str


def learnt_labels(engine: Engine, model: ModelVersion) -> Learnt:
    """Return what a model has learnt: its bundle says it, or the run that made it; else it learnt its sets whole.

    Raises:
        UnusableLocation, BrokenBundle: its bundle cannot be read.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`; so do all functions below.
    """
    return _learnt(engine, model)._replace(texts=known_texts(model.location))


def _learnt(engine: Engine, model: ModelVersion) -> Learnt:
    tuned = model.metrics.get("tuned", {}).get("taken")
    if tuned:
        return Learnt(datetime.fromisoformat(tuned["at"]), list(tuned["learnt_whole"]), network=tuned["network"])
    taken = model.metrics.get("settings", {}).get("taken")
    if taken:
        return Learnt(datetime.fromisoformat(taken["at"]), list(taken["learnt_whole"]), network=True)
    made_by = _latest(engine, and_(_COLUMNS.model_version == model.version, _DETAILS.has_key("snapshot")))
    if made_by:
        details = made_by.details
        return Learnt(datetime.fromisoformat(details["snapshot"]["taken_at"]), details["learnt_whole"], network=True)
    if tells_all(model.metrics):
        return Learnt(model.created_at, [], told=True)
    sets = {*model.metrics.get("rows", ()), *model.metrics.get("rows_before", ())}
    return Learnt(model.created_at, sorted(sets), told=bool(sets) and sets <= _PUBLIC)


def last_judged(engine: Engine, version: str) -> tuple[int, datetime] | None:
    """Return the latest run whose candidate was judged against this champion, and when it took its labels."""
    run = _latest(engine, _judged_against(version))
    return run and (run.id, datetime.fromisoformat(run.details["snapshot"]["taken_at"]))


def find_verdict(engine: Engine, champion: str, labels: str, settings: dict[str, Any]) -> Judged | None:
    """Return the latest run that came to a verdict on what comes of the same labels, settings and champion.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        champion: its version.
        labels: fingerprint of their snapshot.
        settings: as that run noted them.
    """
    same = _DETAILS.contains({"snapshot": {"fingerprint": labels}}) & (_DETAILS["settings"] == literal(settings, JSONB))
    run = _latest(engine, _judged_against(champion) & same)
    return run and Judged(run.id, run.state, run.model_version)


def labels_since(engine: Engine, moment: datetime) -> int:
    """Count the labels that came in, or were changed, after a moment, whenever they were given, and can be learnt."""
    rows, learnable = _learnable()
    query = select(func.count()).select_from(rows).where(rows.c.imported_at > moment, learnable)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).scalar_one()


def labels_new_to(engine: Engine, known: Learnt) -> int:
    """Count the labels that can be learnt and came in later than a model's, or earlier, on a text that it never saw."""
    new = labels_since(engine, known.until)
    if not known.told:
        return new
    rows, learnable = _learnable()
    query = select(rows.c.origin, rows.c.text).where(rows.c.imported_at <= known.until, learnable)
    with database_problems(), engine.connect() as connection:
        earlier = connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
        return new + sum(not known.knows(origin, text) for origin, text in earlier)


def labels_waiting(engine: Engine) -> int:
    """Count the labels that came in since a run last judged some against the champion, or since the champion learnt.

    Fast enough to be asked often: no bundle is read, so no earlier label is counted, even where the champion never saw
    its text. Without a champion, every label waits.
    """
    model = champion(engine)
    if model is None:
        return labels_since(engine, datetime.min.replace(tzinfo=UTC))
    judged, learnt = last_judged(engine, model.version), _learnt(engine, model).until
    return labels_since(engine, max(judged[1], learnt) if judged else learnt)


def _learnable() -> tuple[Subquery, ColumnElement[bool]]:
    rows = latest().subquery()
    return rows, (rows.c.origin != ENGLISH) & (func.cardinality(rows.c.annotated) > 0)


def _judged_against(champion: str) -> ColumnElement[bool]:
    # A verdict that came too late, since another model was promoted meanwhile, is none; nor is one for which no label
    # was looked at, since the candidate cost too much.
    return and_(
        _COLUMNS.state.in_(("promoted", "rejected")),
        ~_DETAILS.contains({"look": {"rows": 0}}),
        ~_DETAILS.has_key("overtaken_by"),
        _DETAILS.contains({"champion": {"version": champion}}),
    )


def _latest(engine: Engine, of: ColumnElement[bool]) -> Row[Any] | None:
    query = select(training_runs).where(of).order_by(_COLUMNS.id.desc()).limit(1)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).one_or_none()

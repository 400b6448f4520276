"""Forgetting labels: rows leave the table, and a history keeps who removed how many of which kind, without a text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, exists, select, true

from registry.erasures import delete_labels, labels_of
from registry.postgres import database_problems
from schemas.tables import forgotten_labels, labelled_texts
from training.data.splits import identity
from training.errors import UnusableRecipe

_COLUMNS: Final = labelled_texts.c
_ROWS_AT_ONCE: Final = 2_000


@dataclass(frozen=True)
class Chosen:
    """Which labels to forget: those to which all that is given applies.

    Attributes:
        text: what was said, however it is spelled.
        annotator: who labelled.
        session: session that the labels name, or that of their transcripts in the worker's results.
        source: narrows the session to one source. Labels that name no source are of any.
        origin: data set or tool that the labels came from.
    """

    text: str | None = None
    annotator: str | None = None
    session: str | None = None
    source: str | None = None
    origin: str | None = None

    @property
    def kind(self) -> str:
        """Names of what is given, without its content."""
        return ", ".join(name for name, value in vars(self).items() if value is not None)


class Forgotten(NamedTuple):
    """How many labels were forgotten, or would be, and their texts by identity."""

    labels: int
    texts: Mapping[str, str]


def forget(engine: Engine, chosen: Chosen, *, by: str | None = None, dry_run: bool = False) -> Forgotten:
    """Delete labels, and note in `forgotten_labels` who did so; all or nothing.

    Args:
        engine: SQLAlchemy engine connected to the database of the labels.
        chosen: which labels.
        by: who asks for it; None stands for the database's user.
        dry_run: delete and note nothing.

    Raises:
        UnusableRecipe: nothing is chosen, or a source without a session.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    if not chosen.kind:
        raise UnusableRecipe("labels forget: say which labels, by --text, --annotator, --session or --origin")
    if chosen.source is not None and chosen.session is None:
        raise UnusableRecipe("labels forget: --source says which session of that name is meant. Add --session")
    with database_problems(), engine.begin() as connection:
        found = dict(_found(connection, chosen))
        texts = {identity(text): text for text in found.values()}
        if found and not dry_run:
            delete_labels(connection, found, texts=len(texts), kind=chosen.kind, by=by)
    return Forgotten(len(found), texts)


def history(engine: Engine) -> list[Mapping[str, Any]]:
    """Return what was forgotten, the latest first.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    query = select(forgotten_labels).order_by(forgotten_labels.c.id.desc())
    with database_problems(), engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def forgotten_since(engine: Engine, moment: datetime) -> bool:
    """Return whether labels were forgotten after a moment.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    query = select(exists().where(forgotten_labels.c.forgotten_at > moment))
    with database_problems(), engine.connect() as connection:
        return bool(connection.scalar(query))


def _found(connection: Connection, chosen: Chosen) -> Iterator[tuple[int, str]]:
    """Yield id and text of the labels, locked against changes."""
    query = select(_COLUMNS.id, _COLUMNS.text).where(_condition(chosen)).with_for_update()
    wanted = None if chosen.text is None else identity(chosen.text)
    for number, text in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}):
        if wanted is None or identity(text) == wanted:
            yield number, text


def _condition(chosen: Chosen) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = true()
    if chosen.annotator is not None:
        condition &= _COLUMNS.annotator == chosen.annotator
    if chosen.origin is not None:
        condition &= _COLUMNS.origin == chosen.origin
    if chosen.session is not None:
        condition &= labels_of(chosen.session, chosen.source)
    return condition

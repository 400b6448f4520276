"""The table of labels: putting them in, reading them, counting them.

Who labels one text twice means the later label, of any origin; where no annotator is named, the origin speaks
as one. That is what `latest` selects, for counts. Retraining reads `in_order`, and knows a text however it is spelled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    RowMapping,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import insert

from registry.erasures import share_marks
from registry.postgres import database_problems
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, labelled_texts
from training.label_files.label import Label
from training.labels.erased import without_erased

_COLUMNS = labelled_texts.c
_CODER = func.coalesce(func.nullif(_COLUMNS.annotator, ""), _COLUMNS.origin).label("coder")
_KEY = ("text", "origin", "annotator")
_INCOMING = "incoming_labels"
_ANSWER = ("emotions", "annotated", "transcript_id")


class Stored(NamedTuple):
    """How many labels were new, took the place of an earlier one, changed nothing, or were erased for good."""

    new: int
    changed: int
    as_before: int
    erased: int = 0


@dataclass(frozen=True)
class Stats:
    """What there is in the table; of two labels of one annotator the later counts.

    Attributes:
        labels: how many.
        texts: how many have one at least.
        doubly: texts that two or more annotators labelled.
        emotions: labels that carry each emotion.
        origins: labels of each origin.
        annotators: labels of each annotator; without a name, of each origin.
        alpha: Krippendorff's, of each emotion (nominal: it is there or not), 1 for full agreement and 0 for chance;
            None where it says nothing, since no two were asked for it or all said the same.
    """

    labels: int
    texts: int
    doubly: int
    emotions: Mapping[str, int]
    origins: Mapping[str, int]
    annotators: Mapping[str, int]
    alpha: Mapping[str, float | None]


def store(engine: Engine, labels: Sequence[Label]) -> Stored:
    """Put labels in, all or none. Putting them in again changes nothing.

    A label of the same text, origin and annotator is replaced by a later one; one without a time is of now.

    Raises:
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the table.
    """
    now = datetime.now(UTC)
    with database_problems(), engine.begin() as connection:
        share_marks(connection)
        every = _with_sessions(connection, _without_repeats(labels))
        last = without_erased(connection, every)
        fresh = [
            *_upsert(connection, [label for label in last if label.labelled_at is None], now),
            *_upsert(connection, [label for label in last if label.labelled_at is not None], now),
        ]
    erased = len(every) - len(last)
    return Stored(sum(fresh), len(fresh) - sum(fresh), len(labels) - len(fresh) - erased, erased)


def latest() -> Select[Any]:
    """Return a query of the labels, the last of each text and annotator, with a column `coder` for who that is."""
    text_hash = func.md5(_COLUMNS.text)
    return (
        select(labelled_texts, _CODER)
        .distinct(text_hash, _CODER)
        .order_by(text_hash, _CODER, _COLUMNS.labelled_at.desc(), _COLUMNS.id.desc())
    )


def in_order() -> Select[Any]:
    """Return a query of all labels, the last word last, with the column `coder` of `latest`."""
    return select(labelled_texts, _CODER).order_by(_COLUMNS.labelled_at, _COLUMNS.id)


def list_labels(
    engine: Engine, *, origin: str | None = None, annotator: str | None = None, emotion: str | None = None, limit: int
) -> list[Label]:
    """Return the newest labels first, all of them or those of an origin, an annotator, an emotion.

    Raises:
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the table.
    """
    query = select(labelled_texts).order_by(_COLUMNS.labelled_at.desc(), _COLUMNS.id.desc()).limit(limit)
    if origin is not None:
        query = query.where(_COLUMNS.origin == origin)
    if annotator is not None:
        query = query.where(_COLUMNS.annotator == annotator)
    if emotion is not None:
        query = query.where(_COLUMNS.emotions.any(emotion))
    with database_problems(), engine.connect() as connection:
        return [_label(row) for row in connection.execute(query).mappings()]


def stats(engine: Engine) -> Stats:
    """Count the labels, and measure how far annotators agree.

    Raises:
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the table.
    """
    rows = latest().subquery()
    carried = [func.count().filter(rows.c.emotions.any(emotion)) for emotion in EMOTIONS]
    unit = func.md5(rows.c.text)
    with database_problems(), engine.connect() as connection:
        labels, texts, *emotions = connection.execute(
            select(func.count(), func.count(func.distinct(unit)), *carried).select_from(rows)
        ).one()
        origins = _counts(connection, rows.c.origin)
        annotators = _counts(connection, rows.c.coder)
        asked = [func.count().filter(rows.c.annotated.any(emotion)) for emotion in EMOTIONS]
        both = select(*carried, *asked).select_from(rows).group_by(unit).having(func.count() > 1)
        answers = np.array([tuple(row) for row in connection.execute(both)], np.int64).reshape(-1, 2, len(EMOTIONS))
    return Stats(
        labels=labels,
        texts=texts,
        doubly=len(answers),
        emotions=dict(zip(EMOTIONS, emotions, strict=True)),
        origins=origins,
        annotators=annotators,
        alpha={emotion: _alpha(*answers[:, :, at].T) for at, emotion in enumerate(EMOTIONS)},
    )


def _counts(connection: Connection, column: ColumnElement[str]) -> dict[str, int]:
    count = func.count()
    rows = connection.execute(select(column, count).group_by(column).order_by(count.desc(), column))
    return {row[0]: row[1] for row in rows}


def _alpha(present: Any, asked: Any) -> float | None:
    """Return Krippendorff's alpha of n texts: by how many each was asked, and by how many answered with yes.

    Observed over expected disagreement, for two values; the packages that compute it are under the GPL.
    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, https://repository.upenn.edu/asc_papers/43.
    """
    yes, no, answers = (counts[asked > 1].astype(float) for counts in (present, asked - present, asked))
    if not (yes.any() and no.any()):
        return None
    observed = (2 * yes * no / (answers - 1)).sum()
    expected = 2 * yes.sum() * no.sum() / (answers.sum() - 1)
    return float(1 - observed / expected)


def _without_repeats(labels: Iterable[Label]) -> list[Label]:
    """Keep the latest of those that share a key: one statement cannot change a row twice."""
    kept: dict[tuple[str, ...], Label] = {}
    for label in labels:
        key = tuple(getattr(label, name) for name in _KEY)
        if not (before := kept.get(key)) or _later(label.labelled_at, before.labelled_at):
            kept[key] = label
    return list(kept.values())


def _with_sessions(connection: Connection, labels: Sequence[Label]) -> list[Label]:
    """Return the labels with the sessions of their transcripts, where they name none."""
    wanted = {label.transcript_id for label in labels if label.transcript_id and not label.session_id}
    if not wanted:
        return list(labels)
    found = emotion_results.c
    query = select(found.transcript_id, found.source, found.session_id).where(
        found.transcript_id == any_(cast(sorted(wanted), ARRAY(Text))), found.session_id.is_not(None)
    )
    sessions: dict[tuple[str, str | None], str] = {}
    for name, source, session in connection.execute(query.order_by(found.source)):
        sessions[name, source] = session
        # A label without a source is about the transcript of any source.
        sessions.setdefault((name, None), session)
    return [
        replace(label, session_id=session_id)
        if not label.session_id and (session_id := sessions.get((label.transcript_id or "", label.source)))
        else label
        for label in labels
    ]


def _later(moment: datetime | None, before: datetime | None) -> bool:
    return moment is None or (before is not None and moment >= before)


def _upsert(connection: Connection, labels: Sequence[Label], now: datetime) -> list[bool]:
    """Insert or replace, and say of each row that was written whether it is new."""
    if not labels:
        return []
    names = ["text", "emotions", "annotated", "origin", "annotator", "labelled_at"]
    names += ["transcript_id", "source", "session_id", "drawn_by", "relative_chance"]
    rows = (
        (
            label.text,
            list(label.emotions),
            list(label.annotated),
            label.origin,
            label.annotator,
            label.labelled_at or now,
            label.transcript_id,
            label.source,
            label.session_id,
            label.drawn_by,
            label.relative_chance,
        )
        for label in labels
    )
    _copy(connection, names, rows)
    incoming: Any = select(*(column(name) for name in names)).select_from(table(_INCOMING))
    statement = insert(labelled_texts).from_select(names, incoming)
    new = statement.excluded
    differs = or_(*(new[name].is_distinct_from(_COLUMNS[name]) for name in _ANSWER))
    # A file that names the source later, the session, or how the text was drawn, says more of the label that is there.
    told = [and_(_COLUMNS[name].is_(None), new[name].is_not(None)) for name in ("relative_chance", "session_id")]
    changes = or_(differs, and_(new.source.is_not(None), new.source.is_distinct_from(_COLUMNS.source)), *told)
    # What comes without a time would otherwise be of now each time it comes.
    dated = labels[0].labelled_at is not None
    replaces = or_(new.labelled_at > _COLUMNS.labelled_at, and_(new.labelled_at == _COLUMNS.labelled_at, changes))
    upsert: Executable = statement.on_conflict_do_update(
        index_elements=[literal_column("md5(text)"), "origin", "annotator"],
        set_={name: new[name] for name in _ANSWER}
        | {"labelled_at": new.labelled_at if dated else case((differs, new.labelled_at), else_=_COLUMNS.labelled_at)}
        # A file that does not name the source takes nothing from a label that does.
        | {"source": func.coalesce(new.source, case((new.transcript_id == _COLUMNS.transcript_id, _COLUMNS.source)))}
        # A session that was named stays, for the label's side hangs on it.
        | {name: func.coalesce(_COLUMNS[name], new[name]) for name in ("session_id", "drawn_by", "relative_chance")}
        # The same answer, saved again, is nothing new to learn.
        | {"imported_at": case((differs, func.now()), else_=_COLUMNS.imported_at)},
        where=replaces if dated else changes,
    ).returning(literal_column("xmax = 0"))
    return list(connection.scalars(upsert))


def _copy(connection: Connection, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Copy rows into a table of this transaction alone: many times as fast as inserting them one by one."""
    columns = ", ".join(names)
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_INCOMING}")
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {_INCOMING} ON COMMIT DROP AS SELECT {columns} FROM labelled_texts WITH NO DATA"  # noqa: S608 - made of constants.
    )
    cursor: Any = connection.connection.cursor()  # psycopg's, which can copy.
    with cursor, cursor.copy(f"COPY {_INCOMING} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _label(row: RowMapping) -> Label:
    return Label(
        text=row["text"],
        emotions=tuple(row["emotions"]),
        annotated=tuple(row["annotated"]),
        origin=row["origin"],
        annotator=row["annotator"],
        labelled_at=row["labelled_at"],
        transcript_id=row["transcript_id"],
        source=row["source"],
        session_id=row["session_id"],
        drawn_by=row["drawn_by"],
        relative_chance=row["relative_chance"],
    )

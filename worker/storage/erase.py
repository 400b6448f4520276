"""What people ask to have erased: its rows, shadow rows and labels go, and no replay brings them back."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Engine,
    Select,
    and_,
    false,
    func,
    or_,
    select,
    text,
    true,
)

from registry.erasures import (
    Candidate,
    Erasure,
    add_mark,
    delete_labels,
    digest_of,
    find_erased,
    labels_of,
    mark_erased,
)
from schemas.tables import emotion_results, labelled_texts, shadow_results
from worker.errors import ConfigurationError
from worker.records import Utterance
from worker.storage.delete_messages import (
    RESULTS,
    Gone,
    delete_messages,
    in_transaction,
    keys_of,
    lock_messages,
    look_back,
)
from worker.storage.row_conditions import begun_before

_LABELS: Final = labelled_texts.c

_LOCK_TIMEOUT: Final = text("SET LOCAL lock_timeout = '2s'")
"""A mark waits for all that is being stored, and new chunks wait behind it."""

_LABELS_ABOUT: Final = text("""
    SELECT label.id, label.text, gone.place
    FROM labelled_texts AS label
    JOIN unnest(CAST(:ids AS text[]), CAST(:sources AS text[])) WITH ORDINALITY AS gone (transcript_id, source, place)
    ON label.transcript_id = gone.transcript_id AND (label.source IS NULL OR label.source = gone.source)
    FOR UPDATE OF label
""")


def without_erased(connection: Connection, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the utterances of a chunk, but for those that were erased for good.

    Args:
        connection: a transaction that shares the marks of `registry.erasures`.
        utterances: one a record.
    """
    erased = find_erased(connection, list(map(_candidate, utterances)))
    return [item for item, gone in zip(utterances, erased, strict=True) if not gone]


def _candidate(item: Utterance) -> Candidate:
    said_at = item.transcript.spoken_at
    return Candidate(
        item.id, item.transcript.session_id, item.source, said_at if isinstance(said_at, datetime) else None
    )


def erase(engine: Engine, erasure: Erasure, stop: Event, *, dry_run: bool = False) -> Gone:
    """Delete rows, shadow rows and labels, and keep replays and imports from bringing them back.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        erasure: what is erased.
        stop: ends it after the batch in hand; the same call goes on from there.
        dry_run: only count; labels that are found by the time of their transcripts are left out.

    Raises:
        Stopped: told to stop.
        ConfigurationError: the transcript is a part of a message, or the database refuses us.
    """
    in_transaction(engine, stop, partial(_require_message, erasure))
    if dry_run:
        return in_transaction(engine, stop, partial(_count, erasure))
    in_transaction(engine, stop, partial(_mark, erasure))
    gone = in_transaction(engine, stop, partial(_erase_own_labels, erasure))
    while True:
        before = gone
        for where in _looks(engine, erasure, stop):
            batch = partial(_erase_batch, erasure, and_(where, _covers(erasure)))
            gone = gone.plus(in_transaction(engine, stop, batch))
        if gone == before:
            return gone


def _looks(engine: Engine, erasure: Erasure, stop: Event) -> Iterator[ColumnElement[bool]]:
    """Yield conditions for batches; what they leave, such as a row that was written elsewhere, the next round finds."""
    if erasure.before is not None and erasure.session is None and erasure.transcript is None:
        return look_back(engine, erasure.before, stop)
    return iter([true()])


def _require_message(erasure: Erasure, connection: Connection) -> None:
    """Refuse the id of a part: all rows of a message are of one record, and come and go together."""
    query = select(RESULTS.message_id).where(
        RESULTS.transcript_id == erasure.transcript, RESULTS.message_id != RESULTS.transcript_id
    )
    if erasure.transcript is not None and (message := connection.scalar(query.limit(1))):
        raise ConfigurationError(
            f"transcript {erasure.transcript} is a part of a message: erase all of it, by --transcript {message}"
        )


def _count(erasure: Erasure, connection: Connection) -> Gone:
    firsts = select(RESULTS.transcript_id, RESULTS.source).where(_covers(erasure))
    going: Select[Any] | CompoundSelect[Any] = firsts
    if erasure.before is not None:
        # Only first rows count by their time; the further parts of their messages go with them.
        part = emotion_results.alias("part")
        of_message = and_(part.c.message_id == RESULTS.transcript_id, part.c.source == RESULTS.source, part.c.part > 1)
        further = select(part.c.transcript_id, part.c.source).join_from(emotion_results, part, of_message)
        going = firsts.union_all(further.where(_covers(erasure)))
    rows = going.cte("going")
    key = and_(rows.c.transcript_id == shadow_results.c.transcript_id, rows.c.source == shadow_results.c.source)
    shadows = select(func.count()).select_from(shadow_results.join(rows, key))
    labels = select(func.count()).select_from(labelled_texts).where(_own_labels(erasure))
    return Gone(*(connection.scalar(query) or 0 for query in (select(func.count()).select_from(rows), shadows, labels)))


def _mark(erasure: Erasure, connection: Connection) -> None:
    connection.execute(_LOCK_TIMEOUT)
    mark_erased(connection, erasure)


def _covers(erasure: Erasure) -> ColumnElement[bool]:
    """Return what holds of a row that is erased."""
    condition: ColumnElement[bool] = true()
    if erasure.session is not None:
        condition &= RESULTS.session_id == erasure.session
    if erasure.transcript is not None:
        condition &= or_(RESULTS.transcript_id == erasure.transcript, RESULTS.message_id == erasure.transcript)
    if erasure.source is not None:
        condition &= RESULTS.source == erasure.source
    if erasure.before is not None:
        condition &= begun_before(erasure.before)
    return condition


def _erase_batch(erasure: Erasure, condition: ColumnElement[bool], connection: Connection) -> Gone:
    """Delete some messages, and the labels about their transcripts."""
    rows, shadows = delete_messages(connection, lock_messages(connection, condition))
    if not rows:
        return Gone()
    labels = connection.execute(_LABELS_ABOUT, keys_of(rows)).all()
    if erasure.before is not None:
        # Neither a label nor a message without a time tells again that it was said before then.
        named = [rows[label.place - 1] for label in labels] + [row for row in rows if row.spoken_at is None]
        for digest, source in sorted({(digest_of("transcript", row.message_id), row.source) for row in named}):
            add_mark(connection, erasure, digest, source)
    texts = {label.id: label.text for label in labels}
    _forget(connection, erasure, texts)
    return Gone(len(rows), shadows, len(texts))


def _own_labels(erasure: Erasure) -> ColumnElement[bool]:
    """Return what holds of labels that name the session or the transcript, or whose rows do."""
    if erasure.before is not None:
        return false()  # A label does not say when its text was spoken; its row does.
    if erasure.session is not None:
        return labels_of(erasure.session, erasure.source)
    message = func.regexp_replace(_LABELS.transcript_id, r"#\d{4,}$", "")
    about = or_(_LABELS.transcript_id == erasure.transcript, message == erasure.transcript)
    if erasure.source is None:
        return about
    return and_(about, or_(_LABELS.source.is_(None), _LABELS.source == erasure.source))


def _erase_own_labels(erasure: Erasure, connection: Connection) -> Gone:
    query = select(_LABELS.id, _LABELS.text).where(_own_labels(erasure)).with_for_update()
    labels = {row.id: row.text for row in connection.execute(query)}
    _forget(connection, erasure, labels)
    return Gone(labels=len(labels))


def _forget(connection: Connection, erasure: Erasure, labels: dict[int, str]) -> None:
    if labels:
        delete_labels(connection, labels, texts=len(set(labels.values())), kind=f"erase: {erasure.kind}", by=erasure.by)

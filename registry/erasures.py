"""What was erased for good: marks that keep replays and imports from bringing it back, and labels that go with it.

A mark names a session or a transcript by its plain SHA-256, so that the table lists no names of those who asked.
Whoever can read the table can still test a name that they guess. A salt in the table would not stop them. A key kept
elsewhere would, but a worker that starts without it, or with another one, would store again what was erased, and nobody
would notice.

Whoever stores transcripts or labels shares a lock with all others who do (`share_marks`), and only then asks for marks.
A new mark waits for all of them. So each of their transactions knows the mark, or ends before it is there.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, or_, select, text

from schemas.tables import emotion_results, erasures, forgotten_labels, labelled_texts

LOCK: Final = 0x65726173
"""Key of the advisory lock that parts marks from those who store: the letters "eras"."""

_LABELS: Final = labelled_texts.c
_RESULTS: Final = emotion_results.c

Kind = Literal["session", "transcript"]


class Erasure(NamedTuple):
    """What is erased: that to which all that is given applies."""

    session: str | None = None
    transcript: str | None = None
    """Id of a message, with all of its parts."""
    source: str | None = None
    before: datetime | None = None
    """Time before which it was said."""
    by: str | None = None
    """Who asks for it; None stands for the database's user."""

    @property
    def kind(self) -> str:
        """Names of what is given, without its content."""
        return ", ".join(name for name, value in self._replace(by=None)._asdict().items() if value is not None)


class Candidate(NamedTuple):
    """What is about to be stored, and may have been erased."""

    transcript: str | None
    """Id of its message."""
    session: str | None
    source: str | None
    """None where nobody knows it, so that it may be of any."""
    said_at: datetime | None = None


class _Mark(NamedTuple):
    """What else a mark of a candidate's session or transcript says, or one without a digest."""

    source: str | None
    before: datetime | None

    def covers(self, candidate: Candidate) -> bool:
        """Whether it covers a candidate."""
        here = None in {self.source, candidate.source} or self.source == candidate.source
        then = self.before is None or (candidate.said_at is not None and candidate.said_at < self.before)
        return here and then


def digest_of(kind: Kind, name: str) -> bytes:
    """Return the SHA-256 by which a mark names a session or a transcript."""
    return hashlib.sha256(f"{kind}\0{name}".encode()).digest()


def share_marks(connection: Connection) -> None:
    """Keep new marks waiting until the transaction ends; they must be asked for in a later statement."""
    connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": LOCK})


def mark_erased(connection: Connection, erasure: Erasure) -> None:
    """Mark something as erased, once all transactions that share the marks have ended."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    digest = None
    if erasure.session is not None:
        digest = digest_of("session", erasure.session)
    elif erasure.transcript is not None:
        digest = digest_of("transcript", erasure.transcript)
    add_mark(connection, erasure, digest, erasure.source, erasure.before)


def add_mark(
    connection: Connection, erasure: Erasure, digest: bytes | None, source: str | None, before: datetime | None = None
) -> None:
    """Write a mark, unless it is there.

    Args:
        connection: in a transaction.
        erasure: what it belongs to.
        digest: names a session or a transcript; None where all are meant.
        source: the source that is meant; None where all are.
        before: time before which it was said; None where all of it is meant.
    """
    mark = {"digest": digest, "source": source, "said_before": before}
    # None is compared by IS NULL: an index serves that, other than IS NOT DISTINCT FROM.
    same = and_(*(erasures.c[name] == value for name, value in mark.items()))
    if not connection.scalar(select(exists().where(same))):
        connection.execute(insert(erasures).values(mark | ({"erased_by": erasure.by} if erasure.by else {})))


def find_erased(connection: Connection, candidates: Sequence[Candidate]) -> list[bool]:
    """Return of each candidate whether it was erased.

    Args:
        connection: a transaction that shares the marks.
        candidates: what is about to be stored.
    """
    sessions = {name: digest_of("session", name) for each in candidates if (name := each.session) is not None}
    # A mark without a digest is for all.
    digests = [
        {None, sessions.get(each.session or ""), digest_of("transcript", each.transcript) if each.transcript else None}
        for each in candidates
    ]
    asked = [digest for digest in set().union(*digests) if digest]
    columns = erasures.c
    query = select(columns.digest, columns.source, columns.said_before).where(
        or_(columns.digest == func.any(asked), columns.digest.is_(None))
    )
    marks: dict[bytes | None, list[_Mark]] = defaultdict(list)
    for digest, source, before in connection.execute(query):
        marks[digest].append(_Mark(source, before))
    return [
        bool(marks) and any(mark.covers(each) for digest in names for mark in marks.get(digest, ()))
        for each, names in zip(candidates, digests, strict=True)
    ]


def labels_of(session: str, source: str | None) -> ColumnElement[bool]:
    """Return what holds of labels of a session, which they name or their transcripts in `emotion_results`.

    Args:
        session: name of the session.
        source: narrows it to one source; labels that name none are of any.
    """
    about = (_RESULTS.transcript_id == _LABELS.transcript_id) & (
        _LABELS.source.is_(None) | (_RESULTS.source == _LABELS.source)
    )
    own: ColumnElement[bool] = _LABELS.session_id == session
    if source is not None:
        about &= _RESULTS.source == source
        own &= _LABELS.source.is_(None) | (_LABELS.source == source)
    # Results are swept after a while, and tables may name a session that the worker never saw.
    return or_(own, exists().where(about, _RESULTS.session_id == session))


def delete_labels(
    connection: Connection, numbers: Iterable[int], *, texts: int, kind: str, by: str | None = None
) -> None:
    """Delete labels, and note in `forgotten_labels` who did so.

    Args:
        connection: in a transaction.
        numbers: ids of the labels.
        texts: how many texts they are about.
        kind: by what they were chosen.
        by: who asks for it; None stands for the database's user.
    """
    numbers = list(numbers)
    connection.execute(delete(labelled_texts).where(_LABELS.id == func.any(numbers)))
    note = {"kind": kind, "labels": len(numbers), "texts": texts}
    connection.execute(insert(forgotten_labels).values(note | ({"forgotten_by": by} if by else {})))

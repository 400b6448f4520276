"""A label, and the making of one of a row's cells, whatever file the row comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from schemas.emotions import EMOTIONS
from schemas.transcripts import MAX_TEXT_CHARACTERS

Row = Mapping[str, Any] | ValueError | None
"""A row's cells, or why there are none; None for what nobody has answered."""

_LONGEST: Final = 250
"""Characters of a name; Postgres indexes no more than 2,704 bytes."""

_SHOWN: Final = 40
"""Characters of a wrong cell that its complaint quotes."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one person, or one data set, says of one text.

    Attributes:
        text: as written or recognized, not empty.
        emotions: it carries, in the order of `EMOTIONS`.
        annotated: the emotions that could have been given.
        origin: the data set or the tool it came from.
        annotator: who gave it; empty where nobody said.
        labelled_at: when, in UTC; None where nobody said.
        transcript_id: of the transcript that it is about, if any.
    """

    text: str
    emotions: tuple[str, ...]
    annotated: tuple[str, ...] = EMOTIONS
    origin: str
    annotator: str = ""
    labelled_at: datetime | None = None
    transcript_id: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that holds no label: where it is ("line 7", "task 12"), and what is wrong."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def label_of(row: Mapping[str, Any] | ValueError, origin: str, annotator: str, prefix: str = "") -> Label:
    """Make a label of a row's cells, which bear the names of a label's attributes.

    Args:
        row: the cells; text and emotions must be among them.
        origin: where the row names none.
        annotator: where the row names none.
        prefix: of the annotator that the row names.

    Raises:
        ValueError: it is none; the message says why.
    """
    if isinstance(row, ValueError):
        raise row
    missing = [name for name in ("text", "emotions") if row.get(name) is None]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    if not (text := _words(row, "text")).strip():
        raise ValueError("the text is empty")
    emotions = _emotions(row["emotions"])
    annotated = _emotions(row.get("annotated") or EMOTIONS)
    if not emotions and "neutral" in annotated:
        raise ValueError("names no emotion; neutral is the name of none")
    if impossible := [emotion for emotion in emotions if emotion not in annotated]:
        raise ValueError(f"{impossible[0]} is given and is not among the annotated")
    if not (origin := _words(row, "origin") or origin.strip()):
        raise ValueError("has no origin; name one in the row or with --origin")
    named = _words(row, "annotator")
    return Label(
        text=text,
        emotions=emotions,
        annotated=annotated,
        origin=origin,
        annotator=prefix + named if named else annotator,
        labelled_at=_moment(_words(row, "labelled_at")),
        transcript_id=_words(row, "transcript_id") or None,
    )


def _words(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if name == "text" and not isinstance(value, str):
        raise ValueError("the text is no string")
    # Postgres takes neither NUL nor half a surrogate pair; the worker leaves NULs out too, so that texts match.
    words = str("" if value is None else value).replace("\0", "")
    if any("\ud800" <= letter <= "\udfff" for letter in words):
        raise ValueError(f"the {name} holds half a surrogate pair")
    if name == "text":
        if len(words) > MAX_TEXT_CHARACTERS:
            raise ValueError(f"the text is longer than {MAX_TEXT_CHARACTERS} characters; is it one text?")
        return words
    if len(words) > _LONGEST:
        raise ValueError(f"the {name} is longer than {_LONGEST} characters; is the text in its column?")
    return words.strip()


def _emotions(cell: Any) -> tuple[str, ...]:
    """Read names of emotions: a list, or one string of them, in the order of `EMOTIONS`."""
    listed = cell if isinstance(cell, list | tuple) else [cell]
    names = re.findall(r"[^\s,;|\[\]\"'{}]+", cell) if isinstance(cell, str) else listed
    known = [str(name).lower() for name in names]
    if unknown := [name for name, lower in zip(names, known, strict=True) if lower not in EMOTIONS]:
        raise ValueError(f"{str(unknown[0])[:_SHOWN]} is none of the emotions. Take {', '.join(EMOTIONS)}")
    return tuple(emotion for emotion in EMOTIONS if emotion in known)


def _moment(words: str) -> datetime | None:
    if not words:
        return None
    try:
        moment = datetime.fromisoformat(words)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{words[:_SHOWN]} is no time; write it as 2026-01-31T12:00:00Z") from None

"""A label, and the making of one of a row's cells, from a file of any kind."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from schemas.emotions import EMOTIONS
from schemas.transcripts import MAX_TEXT_CHARACTERS
from training.label_files.emotion_names import Answer, fold, read_emotions
from training.label_files.options import ABOUT, ReadOptions
from training.label_files.rows import Cells, quote

_LONGEST: Final = 250
"""Characters of a name; Postgres indexes no more than 2,704 bytes."""


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
        source: of that transcript; None where it is about a transcript of any source, or about none.
        session_id: the call that the text is of, if anybody said.
        drawn_by: how the text was drawn to be labelled.
        relative_chance: how likely that was, by the chance of an equal draw: 1 in a random one; None if unknown.
    """

    text: str
    emotions: tuple[str, ...]
    annotated: tuple[str, ...] = EMOTIONS
    origin: str
    annotator: str = ""
    labelled_at: datetime | None = None
    transcript_id: str | None = None
    source: str | None = None
    session_id: str | None = None
    drawn_by: str | None = None
    relative_chance: float | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that holds no label: where it is ("line 7", "task 12"), and what is wrong."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def label_of(row: Cells, form: str, options: ReadOptions) -> Label:
    """Make a label of a row's cells, which bear the names of a label's attributes.

    Args:
        row: the cells; text and emotions must be among them.
        form: origin where neither the row nor the command names one.
        options: what the command says of the file.

    Raises:
        ValueError: it is none; the message says why.
        SkippedRow: it carries a label whose rows are to be left out.
    """
    missing = [name for name in ("text", "emotions") if row.get(name) is None]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    if not (text := _words(row, "text")).strip():
        raise ValueError("the text is empty")
    answer = read_emotions(row["emotions"], options.names, options.threshold)
    annotated = _annotated(row.get("annotated"), answer, options)
    if not annotated and not options.unannotated:
        raise ValueError("is annotated for nothing, so it holds no label")
    if not answer.given and "neutral" in annotated and row.get("undecided") is not True:
        raise ValueError("names no emotion; neutral is the name of none")
    if impossible := [emotion for emotion in answer.given if emotion not in annotated]:
        raise ValueError(f"{impossible[0]} is given and is not among the annotated")
    alone = len(answer.given) == 1 or options.neutral_mixes or row.get("undecided") is True
    if "neutral" in answer.given and not alone:
        raise ValueError(f"gives neutral with {answer.given[0]}; neutral is the name of none")
    for name in ("annotator", "origin", *ABOUT):
        # A second label without quotation marks goes into the next column.
        if (value := row.get(name)) and fold(str(value)) in options.names:
            raise ValueError(f"the {name} is named {quote(row[name])}; put several labels in quotation marks")
    origin = form if options.origin is None else options.origin.strip()
    if not (origin := _words(row, "origin") or origin):
        raise ValueError("has no origin; name one in the row or with --origin")
    named = _words(row, "annotator")
    transcript_id = _words(row, "transcript_id") or None
    drawn_by = _words(row, "drawn_by") or options.drawn_by
    return Label(
        text=text,
        emotions=answer.given,
        annotated=annotated,
        origin=origin,
        annotator=options.prefix + named if named else options.annotator,
        labelled_at=_moment(_words(row, "labelled_at")),
        transcript_id=transcript_id,
        # Without an id it is a column of the file's own.
        source=(_words(row, "source") or None) if transcript_id else None,
        session_id=_words(row, "session_id") or None,
        drawn_by=drawn_by or None,
        relative_chance=_chance(_words(row, "relative_chance"), drawn_by),
    )


def _annotated(cell: Any, answer: Answer, options: ReadOptions) -> tuple[str, ...]:
    """Read which emotions could have been given: those that were asked for, where the row does not say."""
    word = cell.strip().lower() if isinstance(cell, str) else cell
    if word is None or word == "":
        return EMOTIONS if answer.asked is None else answer.asked
    if word == "all":
        return EMOTIONS
    return () if word == "none" else read_emotions(cell, options.names).given


def _words(row: Cells, name: str) -> str:
    value = row.get(name)
    if name != "text" and (value is None or value == ""):
        return ""
    if name == "text" and not isinstance(value, str):
        raise ValueError("the text is no string")
    # Postgres takes neither NUL nor half a surrogate pair; the worker leaves NULs out too, so that texts match.
    words = str("" if value is None else value).replace("\0", "")
    try:
        words.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {name} holds half a surrogate pair") from None
    if name == "text":
        if len(words) > MAX_TEXT_CHARACTERS:
            raise ValueError(f"the text is longer than {MAX_TEXT_CHARACTERS} characters; is it one text?")
        return words
    if len(words) > _LONGEST:
        raise ValueError(f"the {name} is longer than {_LONGEST} characters; is the text in its column?")
    return words.strip()


def _chance(words: str, drawn_by: str) -> float | None:
    if not words:
        return 1.0 if drawn_by == "random" else None
    try:
        chance = float(words.replace(",", "."))
    except ValueError:
        chance = 0.0
    if not 0 < chance < inf:
        raise ValueError(f"{quote(words)} is no relative_chance; it is above 0, and 1 in a random draw")
    return chance


def _moment(words: str) -> datetime | None:
    if not words:
        return None
    try:
        moment = datetime.fromisoformat(words)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{quote(words)} is no time; write it as 2026-01-31T12:00:00Z") from None

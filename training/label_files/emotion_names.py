"""Names of emotions: those that mean one of the seven without doubt, and how a cell that holds some is read."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from schemas.emotions import EMOTIONS
from training.label_files.rows import quote

SKIP: Final = "skip"
"""What a label name is mapped to if its rows are to be left out."""

_KNOWN: Final = {
    "anger": "anger angry гнев злость",
    "disgust": "disgust disgusted отвращение",
    "fear": "fear fearful страх",
    "joy": "joy joyful happy happiness радость",
    "sadness": "sadness sad грусть печаль",
    "surprise": "surprise surprised удивление",
    "neutral": "neutral нейтрально нейтральный нейтральная нейтральное нейтральность",
}

NAMES: Final[Mapping[str, str]] = {name: emotion for emotion, names in _KNOWN.items() for name in names.split()}
"""The emotion that each name means, in lower case. Other names need `--map`."""

_YES: Final = frozenset("1 true yes да x х + v ✓ истина".split())  # noqa: SIM905 - a list of words reads best as words.
_NO: Final = frozenset("0 false no нет - ложь".split())  # noqa: SIM905 - the same.

_BREAKS: Final = re.compile(r"[,;|/#\[\]\"'{}]+")
"""What stands between two names in one cell; doccano writes `#`, Postgres braces."""


class Answer(NamedTuple):
    """What a cell says.

    Attributes:
        given: the emotions, in the order of `EMOTIONS`.
        asked: those that the cell answers with yes or no; None for a cell that only names what is given.
    """

    given: tuple[str, ...]
    asked: tuple[str, ...] | None = None


class SkippedRow(Exception):
    """The row carries a label whose rows are to be left out."""


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Return a name as it is compared: without spaces around it, in lower case, without ё."""
    return name.strip().lower().replace("ё", "е")


def read_emotions(cell: Any, names: Mapping[str, str] = NAMES, threshold: float | None = None) -> Answer:
    """Read the emotions that a cell gives: names, a list of names, or a mark or a score for each name.

    Args:
        cell: a string of names, a list of names, or names with 1, 0 or a score.
        names: the emotion that each folded name means, or `SKIP`.
        threshold: score from which on an emotion is given, 0 to 1; None refuses scores.

    Raises:
        ValueError: a name or a mark is unknown.
        SkippedRow: the cell gives a label whose rows are to be left out.
    """
    if isinstance(cell, str) and cell.lstrip().startswith("{") and ":" in cell:
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise ValueError(f"{quote(cell)} is no list of emotions") from None
    if isinstance(cell, Mapping):
        return _read_marks(cell, names, threshold)
    given = set(_names_in(cell, names))
    if SKIP in given:
        raise SkippedRow
    return Answer(_ordered(given))


def names_emotions(cell: Any, names: Mapping[str, str] = NAMES) -> bool:
    """Tell whether a cell holds names of emotions and nothing else."""
    try:
        return isinstance(cell, str | list) and bool(list(_names_in(cell, names)))
    except ValueError:
        return False


def is_mark(cell: str) -> bool:
    """Tell whether a cell holds a mark or a score, or is blank."""
    try:
        read_mark(cell, "", 1)
    except ValueError:
        return False
    return True


def _names_in(cell: Any, names: Mapping[str, str]) -> Iterator[str]:
    if isinstance(cell, str):
        for piece in filter(None, map(str.strip, _BREAKS.split(cell))):
            # A name may be of several words; else spaces part names.
            yield from [names[fold(piece)]] if fold(piece) in names else (_known(word, names) for word in piece.split())
    else:
        yield from (_known(name, names) for name in (cell if isinstance(cell, list | tuple) else [cell]))


def _known(name: Any, names: Mapping[str, str]) -> str:
    known = names.get(fold(name)) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"{quote(name)} is none of the emotions. Take {', '.join(EMOTIONS)}")
    return known


def _read_marks(cell: Mapping[Any, Any], names: Mapping[str, str], threshold: float | None) -> Answer:
    marks = [(_known(name, names), read_mark(value, str(name), threshold)) for name, value in cell.items()]
    given = {emotion for emotion, mark in marks if mark}
    if SKIP in given:
        raise SkippedRow
    asked = {emotion for emotion, _ in marks} - {SKIP}
    blank = [name for name, (emotion, mark) in zip(cell, marks, strict=True) if mark is None and emotion != SKIP]
    if not given and not any(mark is False for emotion, mark in marks if emotion != SKIP):
        raise ValueError("marks no emotion")
    # Crosses leave the rest blank; where others say no, a blank is a gap.
    if blank and any(mark is False for emotion, mark in marks if emotion != SKIP):
        raise ValueError(f"{quote(blank[0])} is empty, while others say no. Write 1 or 0 for each")
    return Answer(_ordered(given), _ordered(asked))


def read_mark(value: Any, name: str, threshold: float | None = None) -> bool | None:
    """Return whether a mark says yes; None for a blank.

    Args:
        value: 1 or 0, yes or no, a cross, or a score.
        name: of what is marked, for the message.
        threshold: score from which on a mark says yes, 0 to 1; None refuses scores.

    Raises:
        ValueError: it is neither a mark nor a score.
    """
    word = fold(value) if isinstance(value, str) else value
    if word == "":
        return None
    if isinstance(word, str) and word in _YES | _NO:
        return word in _YES
    try:
        number = float(word.replace(",", ".") if isinstance(word, str) else word)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number in (0, 1):
        return number == 1
    if not 0 <= number <= 1:
        raise ValueError(f"{quote(name)} is {quote(value)}. Write 1 or 0, or a score from 0 to 1")
    if threshold is None:
        raise ValueError(
            f"{quote(name)} has the score {number:g}. Say from which score on an emotion is given, as labels import "
            "--threshold 0.5"
        )
    return number >= threshold


def _ordered(emotions: set[str]) -> tuple[str, ...]:
    return tuple(emotion for emotion in EMOTIONS if emotion in emotions)

"""Turns made from single words, for files that hold no sentences."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from worker.forms.turn import Turn, mean

_MOST_WORDS: Final = 60
"""A turn's words, so that it is within the model's reach of 128 tokens."""

_PAUSE_S: Final = 1.0
_ENDS: Final = (".", "?", "!", "…")


class Word(Struct, kw_only=True):
    """A word or a punctuation mark.

    Attributes:
        text: the word.
        start: seconds since the call's beginning.
        end: the same of its end.
        speaker: who spoke.
        confidence: from 0 to 1.
        mark: it is punctuation, and belongs to the word before.
    """

    text: str
    start: float | None = None
    end: float | None = None
    speaker: str | None = None
    confidence: float | None = None
    mark: bool = False


def turns_of(words: Iterable[Word]) -> Iterator[Turn]:
    """Cut words into turns: where the speaker changes, a sentence ends, a second is silent, or 60 words are reached."""
    said: list[Word] = []
    for word in words:
        if said and not word.mark and _begins_another(said, word):
            yield _turn(said)
            said = []
        said.append(word)
    if said:
        yield _turn(said)


def _begins_another(said: list[Word], word: Word) -> bool:
    last = said[-1]
    return (
        last.text.endswith(_ENDS)
        or word.speaker != said[0].speaker
        or len(said) >= _MOST_WORDS
        or (last.end is not None and word.start is not None and word.start - last.end > _PAUSE_S)
    )


def _turn(said: list[Word]) -> Turn:
    text = "".join(word.text if word.mark else f" {word.text}" for word in said)
    spoken = [word for word in said if not word.mark]
    first = spoken[0] if spoken else said[0]
    return Turn(
        text=text,
        start=first.start,
        speaker=first.speaker,
        confidence=mean([word.confidence for word in spoken]),
    )

"""What a recognizer would have written: translations and posts have punctuation, transcripts mostly do not."""

import re
from typing import Final

from schemas.normalization import normalize

_NO_WORD: Final = re.compile(r"[^\w\s]|_")


def as_spoken(text: str) -> str:
    """Return the text in ASR form: normalized, without punctuation.

    A hyphen within a word becomes a space, as recognizers write ("кто-то" is "кто то").
    """
    return " ".join(_NO_WORD.sub(" ", normalize(text)).split())


def forms(texts: list[str], language: str) -> list[list[str]]:
    """Return the texts in each form that training draws from, least like a recognizer's first.

    Only Russian is spoken here; English originals stay as they were written, since that is how they teach best.
    """
    if language != "ru":
        return [texts]
    return [[normalize(text) for text in texts], [as_spoken(text) for text in texts]]

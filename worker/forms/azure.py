"""Azure Speech: batch transcription, fast transcription, and the detailed results of short audio."""

from typing import Final

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, in_time, share, speaker_name

_TICKS: Final = 1e7
"""Ticks of a second."""


class Best(Struct):
    """A guess of batch transcription, as one would write it (`display`)."""

    display: str
    confidence: float | None = None


class Recognized(Struct, rename="camel"):
    """A phrase of batch transcription."""

    n_best: list[Best] = []
    channel: Label = None
    speaker: Label = None
    offset_in_ticks: float | None = None
    locale: str | None = None


class Batch(Struct, rename="camel"):
    """The result of batch transcription."""

    recognized_phrases: list[Recognized]


def read_batch(document: Batch) -> list[Turn]:
    """Return a turn for each phrase that was recognized, in the order in which they were said."""
    return in_time(
        [
            Turn(
                text=phrase.n_best[0].display,
                start=None if phrase.offset_in_ticks is None else phrase.offset_in_ticks / _TICKS,
                speaker=speaker_name(phrase.speaker, phrase.channel),
                channel=phrase.channel,
                confidence=share(phrase.n_best[0].confidence),
                language=tag_of(phrase.locale),
            )
            for phrase in document.recognized_phrases
            if phrase.n_best
        ]
    )


class FastPhrase(Struct, rename="camel"):
    """A phrase of fast transcription."""

    text: str
    offset_milliseconds: float | None = None
    locale: str | None = None
    confidence: float | None = None
    speaker: Label = None
    channel: Label = None


class Fast(Struct):
    """The result of fast transcription."""

    phrases: list[FastPhrase]


def read_fast(document: Fast) -> list[Turn]:
    """Return a turn for each phrase, in the order in which they were said."""
    return in_time(
        [
            Turn(
                text=phrase.text,
                start=None if phrase.offset_milliseconds is None else phrase.offset_milliseconds / 1e3,
                speaker=speaker_name(phrase.speaker, phrase.channel),
                channel=phrase.channel,
                confidence=share(phrase.confidence),
                language=tag_of(phrase.locale),
            )
            for phrase in document.phrases
        ]
    )


class Detailed(Struct, rename="pascal"):
    """A guess of the detailed form."""

    display: str
    confidence: float | None = None


class Simple(Struct, rename={"status": "RecognitionStatus", "n_best": "NBest", "display_text": "DisplayText"}):
    """A result of short audio or of the SDK."""

    status: str
    n_best: list[Detailed] = []
    display_text: str = ""


def read_simple(document: Simple) -> list[Turn]:
    """Return the turn of a phrase that was recognized."""
    if document.n_best:
        return [Turn(text=document.n_best[0].display, confidence=share(document.n_best[0].confidence))]
    return [Turn(text=document.display_text)]


AZURE = JsonForm(
    "azure", Batch, lambda document: has_objects(document, "recognizedPhrases", "recognitionStatus"), read_batch
)
AZURE_FAST = JsonForm(
    "azure-fast",
    Fast,
    lambda document: "combinedPhrases" in document and has_objects(document, "phrases", "text"),
    read_fast,
)
AZURE_SHORT = JsonForm(
    "azure-short",
    Simple,
    lambda document: isinstance(document.get("RecognitionStatus"), str),
    read_simple,
    fragment=True,
)

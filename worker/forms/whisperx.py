"""WhisperX's JSON: segments with speakers, and words aligned."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, mean, speaker_name


class AlignedWord(Struct):
    """A word; `score` is how surely it stands where it is said to stand."""

    score: float | None = None


class AlignedSegment(Struct):
    """A segment; times are seconds."""

    text: str
    start: float | None = None
    speaker: Label = None
    words: list[AlignedWord] = []


class WhisperX(Struct):
    """WhisperX's result."""

    segments: list[AlignedSegment]
    language: str | None = None


def read_whisperx(document: WhisperX) -> Iterator[Turn]:
    """Yield a turn for each segment."""
    for segment in document.segments:
        yield Turn(
            text=segment.text,
            start=segment.start,
            speaker=speaker_name(segment.speaker),
            confidence=mean([word.score for word in segment.words]),
            language=tag_of(document.language),
        )


def _knows(document: dict[str, Any]) -> bool:
    return has_objects(document, "segments", "text") and "word_segments" in document


WHISPERX = JsonForm("whisperx", WhisperX, _knows, read_whisperx)

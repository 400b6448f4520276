"""Whisper's own JSON, OpenAI's `verbose_json` and `diarized_json`, whisper-ctranslate2's JSON, and Whisper's TSV."""

import math
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, share, speaker_name


class Segment(Struct):
    """A segment, as Whisper and those that follow it write it; times are seconds."""

    text: str
    start: float | None = None
    end: float | None = None
    avg_logprob: float | None = None
    confidence: float | None = None
    speaker: Label = None
    language: str | None = None


class Whisper(Struct):
    """Whisper's result."""

    segments: list[Segment]
    language: str | None = None
    text: str = ""


def read_whisper(document: Whisper) -> Iterator[Turn]:
    """Yield a turn for each segment; the whole text where there is none."""
    if not document.segments:
        yield Turn(text=document.text, language=tag_of(document.language))
    for segment in document.segments:
        yield turn_of(segment, document.language)


def turn_of(segment: Segment, language: str | None = None) -> Turn:
    """Return a segment's turn: ``exp(avg_logprob)`` is its confidence."""
    confidence = segment.confidence
    if segment.avg_logprob is not None:
        confidence = math.exp(min(0.0, segment.avg_logprob))
    return Turn(
        text=segment.text,
        start=segment.start,
        speaker=speaker_name(segment.speaker),
        confidence=share(confidence),
        language=tag_of(segment.language or language),
    )


def _knows(document: dict[str, Any]) -> bool:
    return (
        has_objects(document, "segments", "text")
        and "word_segments" not in document
        and not {"text", "language", "task"}.isdisjoint(document)
    )


WHISPER = JsonForm("whisper", Whisper, _knows, read_whisper)

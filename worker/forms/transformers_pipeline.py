"""The result of transformers' speech recognition pipeline, with times; insanely-fast-whisper adds speakers."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, speaker_name


class Chunk(Struct):
    """A stretch of speech; `timestamp` holds its begin and its end in seconds."""

    text: str
    timestamp: list[float | None] = []
    language: str | None = None
    speaker: Label = None


class Pipeline(Struct):
    """What the pipeline returns."""

    chunks: list[Chunk] = []
    speakers: list[Chunk] = []
    text: str = ""


def read_pipeline(document: Pipeline) -> Iterator[Turn]:
    """Yield a turn for each chunk, of those with speakers where there are any; the text where there is none."""
    chunks = document.speakers or document.chunks
    if not chunks:
        yield Turn(text=document.text)
    for chunk in chunks:
        yield Turn(
            text=chunk.text,
            start=chunk.timestamp[0] if chunk.timestamp else None,
            speaker=speaker_name(chunk.speaker),
            language=tag_of(chunk.language),
        )


def _knows(document: dict[str, Any]) -> bool:
    return has_objects(document, "chunks", "text", "timestamp")


TRANSFORMERS = JsonForm("transformers", Pipeline, _knows, read_pipeline)

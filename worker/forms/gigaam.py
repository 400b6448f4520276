"""GigaAM's results, as its users write them: a list of segments, or the fields of `LongformTranscriptionResult`."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Turn
from worker.forms.whisper import Segment, turn_of


class GigaAM(Struct):
    """A segment of `transcribe_longform`, with its begin and end in seconds, or all segments as version 3 has them."""

    transcription: str | None = None
    boundaries: list[float] = []
    segments: list[Segment] = []


def read_gigaam(document: GigaAM) -> Iterator[Turn]:
    """Yield a turn for each segment."""
    if document.transcription is not None:
        yield Turn(text=document.transcription, start=document.boundaries[0] if document.boundaries else None)
    for segment in document.segments:
        yield turn_of(segment)


def _knows(document: dict[str, Any]) -> bool:
    if document.keys() == {"transcription", "boundaries"}:
        return isinstance(document["transcription"], str)
    return document.keys() == {"segments"} and has_objects(document, "segments", "text", "start", "end")


GIGAAM = JsonForm("gigaam", GigaAM, _knows, read_gigaam, fragment=True)

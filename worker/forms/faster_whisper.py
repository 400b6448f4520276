"""faster-whisper's segments, as its users write them: a list of them, or one a line."""

from collections.abc import Iterator
from typing import Any

from worker.forms.json_form import JsonForm
from worker.forms.own import is_segment
from worker.forms.turn import Turn
from worker.forms.whisper import Segment, turn_of


def read_segment(document: Segment) -> Iterator[Turn]:
    """Yield the segment's turn."""
    yield turn_of(document)


def _knows(document: dict[str, Any]) -> bool:
    return {"text", "start", "end", "avg_logprob"} <= document.keys() or (
        is_segment(document) and document.keys() <= {"id", "text", "start", "end", "speaker"}
    )


FASTER_WHISPER = JsonForm("faster-whisper", Segment, _knows, read_segment, fragment=True)

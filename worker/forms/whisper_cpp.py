"""whisper.cpp's JSON (`-oj` and `-ojf`)."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Label, Turn, mean, speaker_name


class Offsets(Struct, rename={"from_ms": "from"}):
    """Where a segment lies, in milliseconds."""

    from_ms: float


class Token(Struct):
    """A token, with its probability."""

    text: str
    p: float | None = None


class CppSegment(Struct):
    """A segment; tokens only with `-ojf`, the speaker only with `-di`."""

    text: str
    offsets: Offsets | None = None
    speaker: Label = None
    tokens: list[Token] = []


class Result(Struct):
    """What was found of the whole."""

    language: str | None = None


class WhisperCpp(Struct):
    """whisper.cpp's result."""

    transcription: list[CppSegment]
    result: Result | None = None


def read_whisper_cpp(document: WhisperCpp) -> Iterator[Turn]:
    """Yield a turn for each segment; its confidence is the mean of its tokens' without the special ones."""
    for segment in document.transcription:
        spoken: list[float | None] = [token.p for token in segment.tokens if not token.text.startswith("[_")]
        yield Turn(
            text=segment.text,
            start=segment.offsets.from_ms / 1e3 if segment.offsets else None,
            speaker=speaker_name(segment.speaker),
            confidence=mean(spoken),
            language=tag_of(document.result.language if document.result else None),
        )


def _knows(document: dict[str, Any]) -> bool:
    return has_objects(document, "transcription", "text", "offsets") and isinstance(value_at(document, "result"), dict)


WHISPER_CPP = JsonForm("whisper.cpp", WhisperCpp, _knows, read_whisper_cpp)

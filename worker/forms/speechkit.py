"""Yandex SpeechKit: API v3, one response after the other, and API v2 and v1, one result for a file."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Label, Turn, in_time, seconds, share, speaker_name


class Language(Struct, rename="camel"):
    """How likely a language is."""

    language_code: str | None = None


class FinalAlternative(Struct, rename="camel"):
    """A guess of API v3; times are milliseconds."""

    text: str
    start_time_ms: float | None = None
    confidence: float | None = None
    languages: list[Language] = []


class Final(Struct, rename="camel"):
    """What API v3 says of a phrase that is over."""

    alternatives: list[FinalAlternative] = []
    channel_tag: Label = None


class Response(Struct, rename="camel"):
    """A response of API v3: a final result, or any other event."""

    final: Final | None = None
    channel_tag: Label = None


class StreamedResponse(Struct):
    """A response of API v3, as REST wraps it."""

    result: Response


def read_speechkit(document: StreamedResponse) -> Iterator[Turn]:
    """Yield the turn of a final result; refinements of it, partial results and other events say it again or nothing."""
    final = document.result.final
    if final and final.alternatives:
        best = final.alternatives[0]
        tag = document.result.channel_tag if final.channel_tag is None else final.channel_tag
        yield Turn(
            text=best.text,
            start=None if best.start_time_ms is None else best.start_time_ms / 1e3,
            speaker=speaker_name(None, tag),
            channel=tag,
            # The service writes 0 where it measures none.
            confidence=share(best.confidence) or None,
            language=tag_of(best.languages[0].language_code) if best.languages else None,
        )


def _knows(document: dict[str, Any]) -> bool:
    result = document.get("result")
    return isinstance(result, dict) and not {"audioCursors", "sessionUuid"}.isdisjoint(result)


class ChunkWord(Struct, rename="camel"):
    """A word of API v2."""

    start_time: str | None = None


class ChunkAlternative(Struct):
    """A guess of API v2."""

    text: str
    confidence: float | None = None
    words: list[ChunkWord] = []


class Chunk(Struct, rename="camel"):
    """A phrase of API v2."""

    alternatives: list[ChunkAlternative] = []
    channel_tag: Label = None


class Chunks(Struct):
    """All phrases of a file."""

    chunks: list[Chunk] = []


class Operation(Struct):
    """What API v2 returns of an operation that is done."""

    response: Chunks
    id: str | None = None


def read_operation(document: Operation) -> list[Turn]:
    """Return a turn for each phrase, in the order in which they were said."""
    return in_time(
        [
            Turn(
                text=chunk.alternatives[0].text,
                start=seconds(words[0].start_time) if (words := chunk.alternatives[0].words) else None,
                speaker=speaker_name(None, chunk.channel_tag),
                channel=chunk.channel_tag,
                confidence=share(chunk.alternatives[0].confidence),
                session=document.id,
            )
            for chunk in document.response.chunks
            if chunk.alternatives
        ]
    )


def _knows_operation(document: dict[str, Any]) -> bool:
    response = value_at(document, "response")
    return isinstance(response, dict) and has_objects(response, "chunks", "alternatives")


class Sentence(Struct):
    """What API v1 returns of a short file."""

    result: str


def read_sentence(document: Sentence) -> Iterator[Turn]:
    """Yield its one turn."""
    yield Turn(text=document.result)


def _knows_sentence(document: dict[str, Any]) -> bool:
    return document.keys() == {"result"} and isinstance(document["result"], str)


SPEECHKIT_V1 = JsonForm("speechkit-v1", Sentence, _knows_sentence, read_sentence)
SPEECHKIT = JsonForm("speechkit", StreamedResponse, _knows, read_speechkit, fragment=True)
SPEECHKIT_V2 = JsonForm("speechkit-v2", Operation, _knows_operation, read_operation)

"""T-Bank VoiceKit: recognized as a whole, or as a stream whose responses stand one after the other."""

from typing import Any

from msgspec import Struct, field

from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, in_time, seconds, share, speaker_name


class Guess(Struct):
    """A guess; its confidence is relative, and may be negative."""

    transcript: str
    confidence: float | None = None


class Recognized(Struct):
    """A phrase of a channel; protobuf's JSON writes names in either way."""

    alternatives: list[Guess] = []
    channel: Label = None
    start_time: str | float | None = None
    start_time_of_json: str | float | None = field(default=None, name="startTime")


class Streamed(Recognized):
    """The same, within the response of a stream, which says whether the phrase is over."""

    recognition_result: Recognized | None = None
    recognition_result_of_json: Recognized | None = field(default=None, name="recognitionResult")
    is_final: bool | None = None
    is_final_of_json: bool | None = field(default=None, name="isFinal")


class VoiceKit(Struct):
    """VoiceKit's response."""

    results: list[Streamed]


def read_voicekit(document: VoiceKit) -> list[Turn]:
    """Return a turn for each phrase that is over, in the order in which they were said."""
    turns = []
    for result in document.results:
        streamed = result.recognition_result or result.recognition_result_of_json
        if streamed and not (result.is_final or result.is_final_of_json):
            continue
        phrase = streamed or result
        if phrase.alternatives:
            start = phrase.start_time if phrase.start_time is not None else phrase.start_time_of_json
            turns.append(
                Turn(
                    text=phrase.alternatives[0].transcript,
                    start=seconds(start),
                    speaker=speaker_name(None, phrase.channel),
                    channel=phrase.channel,
                    confidence=share(phrase.alternatives[0].confidence),
                )
            )
    return in_time(turns)


def _knows(document: dict[str, Any]) -> bool:
    if document.keys() != {"results"}:
        return False
    whole = has_objects(document, "results", "alternatives") and bool(document["results"])
    times = whole and not {"start_time", "startTime", "channel"}.isdisjoint(document["results"][0])
    streamed = any(has_objects(document, "results", name) for name in ("recognition_result", "recognitionResult"))
    return times or (streamed and bool(document["results"]))


VOICEKIT = JsonForm("voicekit", VoiceKit, _knows, read_voicekit, fragment=True)

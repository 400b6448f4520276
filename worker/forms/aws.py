"""AWS Transcribe: a job's result, and that of Call Analytics."""

from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Label, Turn, in_channel, in_time, speaker_name
from worker.forms.words import Word, turns_of


class Content(Struct):
    """A guess of a word."""

    content: str
    confidence: float | None = None


class Item(Struct):
    """A word, or a punctuation mark, which has no times; times are seconds, as text."""

    alternatives: list[Content]
    type: str
    start_time: float | None = None
    end_time: float | None = None
    speaker_label: str | None = None
    channel_label: str | None = None


class Stretch(Struct):
    """A segment of the audio, as newer jobs give it."""

    transcript: str
    start_time: float | None = None
    speaker_label: str | None = None
    channel_label: str | None = None


class Results(Struct):
    """What was recognized."""

    items: list[Item]
    audio_segments: list[Stretch] = []
    language_code: str | None = None


class Transcribe(Struct, rename={"job_name": "jobName"}):
    """A job's result."""

    results: Results
    job_name: str | None = None


def read_aws(document: Transcribe) -> list[Turn]:
    """Return a turn for each segment of the audio; where there are none, turns made from the words."""
    results = document.results
    turns = [
        Turn(text=each.transcript, start=each.start_time, speaker=_name_of(each), channel=_channel_of(each))
        for each in results.audio_segments
    ] or _turns_of_items(results.items)
    for turn in turns:
        turn.session = document.job_name
        turn.language = tag_of(results.language_code)
    return turns


def _turns_of_items(items: list[Item]) -> list[Turn]:
    of_channel: dict[Label, list[Word]] = {}
    for item in items:
        if item.alternatives:
            of_channel.setdefault(_channel_of(item), []).append(
                Word(
                    text=item.alternatives[0].content,
                    start=item.start_time,
                    end=item.end_time,
                    speaker=_name_of(item),
                    confidence=item.alternatives[0].confidence,
                    mark=item.type == "punctuation",
                )
            )
    return in_time([in_channel(turn, channel) for channel, words in of_channel.items() for turn in turns_of(words)])


def _name_of(spoken: Item | Stretch) -> str | None:
    return speaker_name(spoken.speaker_label, _channel_of(spoken))


def _channel_of(spoken: Item | Stretch) -> Label:
    return spoken.channel_label and spoken.channel_label.removeprefix("ch_")


def _knows(document: dict[str, Any]) -> bool:
    results = document.get("results")
    return isinstance(results, dict) and has_objects(results, "items", "alternatives", "type")


class Said(Struct, rename="pascal"):
    """A turn of Call Analytics; times are milliseconds."""

    content: str
    participant_role: str | None = None
    begin_offset_millis: float | None = None


class CallAnalytics(Struct, rename="pascal"):
    """The result of Call Analytics."""

    transcript: list[Said]
    language_code: str | None = None
    job_name: str | None = None


def read_call_analytics(document: CallAnalytics) -> list[Turn]:
    """Return a turn for each of the call's; agent and customer are named in small letters."""
    return [
        Turn(
            text=said.content,
            start=None if said.begin_offset_millis is None else said.begin_offset_millis / 1e3,
            speaker=speaker_name(said.participant_role and said.participant_role.lower()),
            language=tag_of(document.language_code),
            session=document.job_name,
        )
        for said in document.transcript
    ]


def _knows_call_analytics(document: dict[str, Any]) -> bool:
    return (
        has_objects(document, "Transcript", "Content", "ParticipantRole") and value_at(document, "Channel") is not None
    )


AWS = JsonForm("aws", Transcribe, _knows, read_aws)
AWS_CALLS = JsonForm("aws-call-analytics", CallAnalytics, _knows_call_analytics, read_call_analytics)

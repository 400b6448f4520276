"""Deepgram's result of a recording."""

from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Label, Turn, in_time, share, speaker_name
from worker.forms.words import Word, turns_of


class Spoken(Struct):
    """A word; times are seconds."""

    word: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    punctuated_word: str | None = None
    speaker: Label = None


class Guess(Struct):
    """A guess of all that a channel holds."""

    transcript: str
    words: list[Spoken] = []


class Channel(Struct):
    """A channel."""

    alternatives: list[Guess] = []
    detected_language: str | None = None


class Utterance(Struct):
    """An utterance, which is given where it was asked for."""

    transcript: str
    start: float | None = None
    confidence: float | None = None
    channel: int = 0
    speaker: Label = None


class Results(Struct):
    """What was recognized."""

    channels: list[Channel]
    utterances: list[Utterance] = []


class Metadata(Struct):
    """What is said of the request."""

    request_id: str | None = None


class Deepgram(Struct):
    """Deepgram's result."""

    results: Results
    metadata: Metadata | None = None


def read_deepgram(document: Deepgram) -> list[Turn]:
    """Return a turn for each utterance; without any, turns made from the words."""
    channels = document.results.channels
    if document.results.utterances:
        turns = [
            Turn(
                text=utterance.transcript,
                start=utterance.start,
                speaker=_name(utterance.speaker, utterance.channel, channels),
                channel=_known_channel(utterance.channel, channels),
                confidence=share(utterance.confidence),
                language=tag_of(channels[utterance.channel].detected_language)
                if 0 <= utterance.channel < len(channels)
                else None,
            )
            for utterance in document.results.utterances
        ]
    else:
        turns = [turn for number in range(len(channels)) for turn in _turns_of_channel(number, channels)]
    session = document.metadata.request_id if document.metadata else None
    for turn in turns:
        turn.session = session
    return in_time(turns)


def _turns_of_channel(number: int, channels: list[Channel]) -> list[Turn]:
    channel = channels[number]
    if not channel.alternatives:
        return []
    best = channel.alternatives[0]
    words = (
        Word(
            text=word.punctuated_word or word.word,
            start=word.start,
            end=word.end,
            speaker=_name(word.speaker, number, channels),
            confidence=share(word.confidence),
        )
        for word in best.words
    )
    turns = list(turns_of(words)) or [Turn(text=best.transcript, speaker=_name(None, number, channels))]
    for turn in turns:
        turn.language = tag_of(channel.detected_language)
        turn.channel = _known_channel(number, channels)
    return turns


def _known_channel(number: int, channels: list[Channel]) -> int | None:
    """Return the channel where there are several: a single one tells nothing of who spoke."""
    return number if len(channels) > 1 else None


def _name(speaker: Label, number: int, channels: list[Channel]) -> str | None:
    """Name the channel where there are several, since speakers are counted in each."""
    return (
        speaker_name(speaker) if (channel := _known_channel(number, channels)) is None else speaker_name(None, channel)
    )


def _knows(document: dict[str, Any]) -> bool:
    results = value_at(document, "results")
    return isinstance(results, dict) and has_objects(results, "channels", "alternatives")


DEEPGRAM = JsonForm("deepgram", Deepgram, _knows, read_deepgram)

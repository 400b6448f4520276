"""Speechmatics' transcript (json-v2)."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Turn, in_channel, in_time, speaker_name
from worker.forms.words import Word, turns_of


class Guess(Struct):
    """A guess of a word; speaker `UU` is nobody in particular."""

    content: str
    confidence: float | None = None
    language: str | None = None
    speaker: str | None = None


class Spoken(Struct):
    """A word or a punctuation mark; times are seconds."""

    type: str
    alternatives: list[Guess] = []
    start_time: float | None = None
    end_time: float | None = None
    channel: str | None = None


class Job(Struct):
    """The job that made it."""

    id: str | None = None


class Speechmatics(Struct):
    """A transcript."""

    results: list[Spoken]
    job: Job | None = None


def read_speechmatics(document: Speechmatics) -> list[Turn]:
    """Return turns made from the words of each channel, in the order in which they were said."""
    of_channel: dict[str | None, list[Spoken]] = {}
    for spoken in document.results:
        if spoken.type in {"word", "punctuation", "entity"} and spoken.alternatives:
            of_channel.setdefault(spoken.channel, []).append(spoken)
    turns = in_time(
        [in_channel(turn, channel) for channel, words in of_channel.items() for turn in turns_of(_words(words))]
    )
    language = next((spoken.alternatives[0].language for spoken in document.results if spoken.alternatives), None)
    for turn in turns:
        turn.session = document.job.id if document.job else None
        turn.language = tag_of(language)
    return turns


def _words(of_channel: list[Spoken]) -> Iterator[Word]:
    for spoken in of_channel:
        best = spoken.alternatives[0]
        yield Word(
            text=best.content,
            start=spoken.start_time,
            end=spoken.end_time,
            speaker=speaker_name(None if best.speaker == "UU" else best.speaker, spoken.channel),
            confidence=best.confidence,
            mark=spoken.type == "punctuation",
        )


def _knows(document: dict[str, Any]) -> bool:
    return has_objects(document, "results", "type", "alternatives") and not {"job", "format"}.isdisjoint(document)


SPEECHMATICS = JsonForm("speechmatics", Speechmatics, _knows, read_speechmatics)

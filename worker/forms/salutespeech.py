"""SaluteSpeech: the result of asynchronous recognition, a list of phrases, and of synchronous recognition."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, seconds, speaker_name


class Hypothesis(Struct):
    """A guess: as heard, and with numbers and punctuation as one writes them."""

    text: str = ""
    normalized_text: str = ""
    start: str | float | None = None


class SpeakerInfo(Struct):
    """Who speaks; -1 where speakers are not parted."""

    speaker_id: int | None = None


class Phrase(Struct):
    """A phrase; synchronous recognition gives the texts alone."""

    results: list[Hypothesis] = []
    result: list[str] = []
    channel: Label = None
    speaker_info: SpeakerInfo | None = None


def read_salutespeech(document: Phrase) -> Iterator[Turn]:
    """Yield the turn of a phrase, by the first guess, normalized where it is."""
    for text in document.result:
        yield Turn(text=text)
    if document.results:
        best = document.results[0]
        speaker = document.speaker_info.speaker_id if document.speaker_info else None
        parted = speaker is not None and speaker >= 0
        yield Turn(
            text=best.normalized_text or best.text,
            start=seconds(best.start),
            speaker=speaker_name(speaker if parted else None, document.channel),
            channel=document.channel,
        )


def _knows(document: dict[str, Any]) -> bool:
    if has_objects(document, "results", "normalized_text"):
        return not {"eou", "emotions_result", "processed_audio_start"}.isdisjoint(document)
    texts = document.get("result")
    return isinstance(texts, list) and all(isinstance(text, str) for text in texts) and "emotions" in document


SALUTESPEECH = JsonForm("salutespeech", Phrase, _knows, read_salutespeech, fragment=True)

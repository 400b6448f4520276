"""AssemblyAI's transcript."""

from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm
from worker.forms.turn import Label, Turn, share, speaker_name
from worker.forms.words import Word, turns_of


class Spoken(Struct):
    """A word; times are milliseconds."""

    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    speaker: Label = None


class Utterance(Struct):
    """What a speaker said without a break, where speakers or channels were parted."""

    text: str
    start: float | None = None
    confidence: float | None = None
    speaker: Label = None
    channel: Label = None


class AssemblyAI(Struct):
    """A transcript."""

    id: str
    text: str | None = None
    words: list[Spoken] | None = None
    utterances: list[Utterance] | None = None
    language_code: str | None = None


def read_assemblyai(document: AssemblyAI) -> list[Turn]:
    """Return a turn for each utterance; without any, turns made from the words."""
    turns = [
        Turn(
            text=said.text,
            start=None if said.start is None else said.start / 1e3,
            speaker=speaker_name(said.speaker, said.channel),
            channel=said.channel,
            confidence=share(said.confidence),
        )
        for said in document.utterances or []
    ]
    turns = turns or list(turns_of(map(_word_of, document.words or []))) or [Turn(text=document.text or "")]
    for turn in turns:
        turn.session = document.id
        turn.language = tag_of(document.language_code)
    return turns


def _word_of(word: Spoken) -> Word:
    return Word(
        text=word.text,
        start=None if word.start is None else word.start / 1e3,
        end=None if word.end is None else word.end / 1e3,
        speaker=speaker_name(word.speaker),
        confidence=share(word.confidence),
    )


def _knows(document: dict[str, Any]) -> bool:
    return {"id", "status", "words", "text"} <= document.keys() and not {"audio_url", "utterances"}.isdisjoint(document)


ASSEMBLYAI = JsonForm("assemblyai", AssemblyAI, _knows, read_assemblyai)

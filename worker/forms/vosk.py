"""Vosk's results, one after the other in any layout, and the JSON of the command vosk-transcriber."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from worker.forms.json_form import JsonForm, has_objects
from worker.forms.turn import Label, Turn, mean, share, speaker_name


class ResultWord(Struct):
    """A word of a result; times are seconds."""

    word: str
    conf: float | None = None
    start: float | None = None


class Alternative(Struct):
    """A guess; its `confidence` is no share but a score without bounds, which is left out."""

    text: str
    result: list[ResultWord] = []


class VoskResult(Struct):
    """A phrase, or what it was when it was not yet over (`partial`)."""

    text: str | None = None
    result: list[ResultWord] = []
    alternatives: list[Alternative] = []
    partial: str | None = None


def read_vosk(document: VoskResult) -> Iterator[Turn]:
    """Yield the turn of a phrase, by the first of its alternatives; none of a partial result."""
    if document.alternatives:
        best = document.alternatives[0]
    elif document.text is not None:
        best = Alternative(document.text, document.result)
    else:
        return
    yield Turn(
        text=best.text,
        start=best.result[0].start if best.result else None,
        confidence=mean([word.conf for word in best.result]),
    )


def _knows(document: dict[str, Any]) -> bool:
    if isinstance(document.get("partial"), str) and document.keys() <= {"partial", "partial_result"}:
        return True
    if has_objects(document, "alternatives", "text"):
        return document.keys() <= {"alternatives", "spk", "spk_frames"}
    return isinstance(document.get("text"), str) and (
        has_objects(document, "result", "word") or document.keys() == {"text"}
    )


class Term(Struct):
    """A word of a monologue; times are seconds."""

    text: str
    confidence: float | None = None
    start: float | None = None


class Speaker(Struct):
    """Who speaks; vosk-transcriber writes `unknown`."""

    id: Label = None


class Monologue(Struct):
    """What one speaker says."""

    terms: list[Term]
    start: float | None = None
    speaker: Speaker | None = None


class VoskTranscriber(Struct):
    """What `vosk-transcriber --output-type json` writes."""

    monologues: list[Monologue]


def read_monologues(document: VoskTranscriber) -> Iterator[Turn]:
    """Yield a turn for each monologue."""
    for monologue in document.monologues:
        speaker = monologue.speaker.id if monologue.speaker else None
        yield Turn(
            text=" ".join(term.text for term in monologue.terms),
            start=monologue.start,
            speaker=None if speaker == "unknown" else speaker_name(speaker),
            confidence=share(mean([term.confidence for term in monologue.terms])),
        )


def _knows_monologues(document: dict[str, Any]) -> bool:
    return has_objects(document, "monologues", "terms")


VOSK = JsonForm("vosk", VoskResult, _knows, read_vosk, fragment=True)
VOSK_TRANSCRIBER = JsonForm("vosk-transcriber", VoskTranscriber, _knows_monologues, read_monologues)

"""Answers of kaldi-gstreamer-server."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from worker.forms.json_form import JsonForm, has_objects, value_at
from worker.forms.turn import Turn, share


class Hypothesis(Struct):
    """A guess."""

    transcript: str
    confidence: float | None = None


class Result(Struct):
    """A phrase; it may still change where it is not final."""

    hypotheses: list[Hypothesis] = []
    final: bool = True


class Answer(Struct, rename={"segment_start": "segment-start"}):
    """An answer; times are seconds."""

    result: Result
    segment_start: float | None = None


def read_answer(document: Answer) -> Iterator[Turn]:
    """Yield the turn of a phrase that is final."""
    if document.result.final and document.result.hypotheses:
        best = document.result.hypotheses[0]
        yield Turn(text=best.transcript, start=document.segment_start, confidence=share(best.confidence))


def _knows(document: dict[str, Any]) -> bool:
    result = value_at(document, "result")
    return isinstance(result, dict) and has_objects(result, "hypotheses", "transcript")


KALDI_SERVER = JsonForm("kaldi-server", Answer, _knows, read_answer, fragment=True)

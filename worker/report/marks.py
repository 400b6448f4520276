"""The turns of a call, and the words among them that carried their scores."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import structlog

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from worker.errors import RejectedData
from worker.inference.explain import emotion_to_explain, marked_words, weigh_words
from worker.records import Classifier
from worker.report.model import Piece, Report, ShownCall, Turn
from worker.report.rows import Row
from worker.report.score import DISTRESS

_MOST_MARKED: Final = 12
"""Turns of a call whose words are marked: those with the surest emotions."""

log = structlog.get_logger("worker")


def read_turns(rows: Iterable[Row], with_texts: bool) -> list[Turn]:
    """Return the turns of a call; rows whose text is not stored have none."""
    return [_turn(number, row, with_texts) for number, row in enumerate(rows, 1)]


def _turn(number: int, row: Row, with_texts: bool) -> Turn:
    scored = row["anger"] is not None
    scores = [row[emotion] for emotion in EMOTIONS]
    strongest = emotion_to_explain(row["emotions"], scores) if scored else None
    text = row["text"] if with_texts else None
    return Turn(
        number=number,
        role=row["role"],
        speaker=row["speaker"],
        pieces=(Piece(text, marked=False),) if text else (),
        emotions=tuple(row["emotions"]),
        strongest=(strongest, row[strongest]) if strongest else None,
        distress=max(row[emotion] for emotion in DISTRESS) if scored else None,
        not_scored=None if scored else row["not_scored"] or "empty",
        scored_by=(row["model_version"], row["convention"]),
    )


class Marking(NamedTuple):
    """Marks words by a model, or says why it does not.

    Attributes:
        classifier: model; None where no words are to be marked.
        why_not: reason for a reader; None where words are marked.
    """

    classifier: Classifier | None
    why_not: str | None = None

    def marked(self, shown: ShownCall) -> ShownCall:
        """Return a call whose strongest turns have their words marked; only scores of this model are explained."""
        model = self.classifier
        if model is None:
            return shown
        able = [at for at, turn in enumerate(shown.turns) if turn.pieces and _is_of(turn, model)]
        chosen = sorted(able, key=lambda at: -_strength(shown.turns[at]))[:_MOST_MARKED]
        texts = [shown.turns[at].pieces[0].text for at in chosen]
        emotions = [turn.strongest[0] for turn in (shown.turns[at] for at in chosen) if turn.strongest]
        try:
            weights = weigh_words(model, texts, emotions)
        except RejectedData:
            log.warning("the model rejects a text of a call, whose words are not marked", call=shown.call.name)
            return shown
        turns = list(shown.turns)
        for at, text, weight in zip(chosen, texts, weights, strict=True):
            turns[at] = turns[at]._replace(pieces=pieces_of(text, marked_words(weight)))
        return shown._replace(turns=tuple(turns))


def _is_of(turn: Turn, model: Classifier) -> bool:
    own = turn.scored_by == (model.version, model.convention)
    return bool(own and turn.strongest and normalize(turn.pieces[0].text))


def _strength(turn: Turn) -> float:
    return turn.strongest[1] if turn.strongest else 0.0


def pieces_of(text: str, marked: Sequence[int]) -> tuple[Piece, ...]:
    """Return a text as runs of words that are marked, and that are not."""
    words = enumerate(text.split())
    runs = groupby(words, key=lambda each: each[0] in marked)
    return tuple(Piece(" ".join(word for _, word in run), is_marked) for is_marked, run in runs)


def mark_report(report: Report, marking: Marking) -> Report:
    """Return a report whose shown calls have their words marked, or that says why they have not."""
    if marking.classifier is None:
        return report._replace(marking=marking.why_not)
    own = (marking.classifier.version, marking.classifier.convention)
    strangers = [
        f"{model.version} (convention {model.convention})"
        for model in report.models
        if (model.version, model.convention) != own
    ]
    why_not = (
        f"in texts that {', '.join(strangers)} scored: words can be marked only by the model that did"
        if strangers
        else None
    )
    return report._replace(
        worst=tuple(map(marking.marked, report.worst)),
        relieved=tuple(map(marking.marked, report.relieved)),
        marking=why_not,
    )

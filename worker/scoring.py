"""What a model says of transcripts, outside of the flow."""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.emotions import EMOTIONS
from worker.records import Classifier


class Scored(NamedTuple):
    """What a model says of a transcript; an empty text has no scores."""

    transcript_id: str
    emotions: list[str]
    scores: list[float] | None


def score(classifier: Classifier, texts: Iterable[tuple[str, str]]) -> list[Scored]:
    """Score texts.

    Args:
        classifier: the model.
        texts: pairs of a transcript's id and its normalized text.

    Returns:
        One item a text, in no order that matters; an empty text, which the model is not shown, has no emotions.

    Raises:
        RejectedData: the model fails on something in these texts.
    """
    texts = list(texts)
    spoken = [(name, said) for name, said in texts if said]
    done = [Scored(name, [], None) for name, said in texts if not said]
    if spoken:
        scores = classifier.classify([said for _, said in spoken])
        assigned = (scores >= classifier.thresholds).tolist()
        for (name, _), row, marks in zip(spoken, scores.tolist(), assigned, strict=True):
            emotions = [emotion for emotion, mark in zip(EMOTIONS, marks, strict=True) if mark]
            done.append(Scored(name, emotions, row))
    return done

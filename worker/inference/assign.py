"""From a model's scores to the names of emotions; and scoring of transcripts outside of the flow."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from schemas.decisions import Floats, Rule
from schemas.emotions import EMOTIONS
from worker.records import Classifier, Identity

# Few of the 128 sets of seven emotions occur: texts share their lists, which nobody changes.
_SETS: Final = [
    [emotion for bit, emotion in enumerate(EMOTIONS) if number >> bit & 1] for number in range(2 ** len(EMOTIONS))
]
_BITS: Final = 2 ** np.arange(len(EMOTIONS))


def assign_emotions(rule: Rule, scores: Floats) -> list[list[str]]:
    """Return the emotions that a rule assigns to each of n texts.

    Args:
        rule: rule of the model and its convention of labels.
        scores: calibrated probabilities, shape (n, 7).
    """
    return [_SETS[number] for number in (rule.assign(scores) @ _BITS).tolist()]


class Scored(NamedTuple):
    """What a model says of a transcript; an empty text has no scores."""

    identity: Identity
    emotions: list[str]
    scores: list[float] | None
    windows: int = 1
    """In how many windows the model read the text."""


def score(classifier: Classifier, texts: Iterable[tuple[Identity, str]]) -> list[Scored]:
    """Score texts.

    Args:
        classifier: the model.
        texts: pairs of a transcript's identity and its normalized text.

    Returns:
        One item a text, in no order that matters; an empty text, which the model is not shown, has no emotions.

    Raises:
        RejectedData: the model fails on something in these texts.
    """
    texts = list(texts)
    spoken = [(name, said) for name, said in texts if said]
    done = [Scored(name, [], None) for name, said in texts if not said]
    if spoken:
        scores, windows = classifier.classify_windows([said for _, said in spoken])
        emotions = assign_emotions(classifier.rule, scores)
        names = [name for name, _ in spoken]
        done += map(Scored, names, emotions, scores.tolist(), windows)
    return done

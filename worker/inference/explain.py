"""Which words carried a score: the model is asked again without them (occlusion).

This needs nothing of a model but its scores, so it works with any backend. `benchmarks/explaining.py` measures how well
it agrees with leaving out each word by itself, and what it costs.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from worker.records import Classifier


class Plan(NamedTuple):
    """How much is left out at once, and how often a text is read.

    Attributes:
        passes: variants of a text that the model reads at most; with the text itself, ten times the cost of scoring.
        spans: spans that a text of more words than passes is cut into; the passes that are left look closer at the
            heaviest.
    """

    passes: int = 9
    spans: int = 6


PLAN: Final = Plan()

LEAST_SHARE: Final = 0.25
"""Share of the heaviest word's weight from which on a word is marked."""

LEAST_WEIGHT: Final = 0.2
"""Log-odds from which on a word is marked; less is noise of arithmetic in eight bits."""

_LEAST: Final = 1e-4
"""Probability below which, and above one minus which, differences mean nothing."""

_NEUTRAL: Final = EMOTIONS[-1]


class Span(NamedTuple):
    """Words from `start` up to, and without, `stop`."""

    start: int
    stop: int


class _Question(NamedTuple):
    """A text whose words are weighed for one emotion.

    Attributes:
        words: words of the text.
        column: place of the emotion among the scores.
        score: log-odds of the emotion for the whole text.
        weights: log-odds that are lost without each word, shape (words,); filled step by step.
    """

    words: list[str]
    column: int
    score: float
    weights: Floats


def weigh_words(
    classifier: Classifier, texts: Sequence[str], emotions: Sequence[str], plan: Plan = PLAN
) -> list[Floats]:
    """Return how much each word of each text adds to the score of an emotion.

    Args:
        classifier: model that scored the texts.
        texts: texts as received; words are what stands between spaces.
        emotions: emotion to explain, one for each text.
        plan: what to leave out; other ones are for measuring.

    Returns:
        For each text the log-odds of the emotion that are lost without each word, shape (words,). Words that were
        left out together share their loss.

    Raises:
        RejectedData: the model fails on something in these texts.
    """
    scores = _log_odds(classifier, texts)
    questions = [
        _Question(words, EMOTIONS.index(emotion), float(row[EMOTIONS.index(emotion)]), np.zeros(len(words), np.float32))
        for words, emotion, row in zip(map(str.split, texts), emotions, scores, strict=True)
    ]
    counts = [len(each.words) for each in questions]
    wide = [_cut(Span(0, count), count if count <= plan.passes else plan.spans) for count in counts]
    _leave_out(classifier, questions, wide)
    # A long text gets a second look, at the span that weighs most.
    closer = [_closer(question, spans, plan) for question, spans in zip(questions, wide, strict=True)]
    _leave_out(classifier, questions, closer)
    return [each.weights for each in questions]


def marked_words(weights: Floats) -> list[int]:
    """Return the places of the words that carried the score, the heaviest first."""
    least = max(LEAST_WEIGHT, LEAST_SHARE * float(weights.max(initial=0)))
    return [int(at) for at in np.argsort(-weights, kind="stable") if weights[at] >= least]


def emotion_to_explain(emotions: Sequence[str], scores: Sequence[float]) -> str | None:
    """Return the strongest emotion of those assigned to a text; None where it carries none, or neutral alone."""
    found = [emotion for emotion in emotions if emotion != _NEUTRAL]
    return max(found, key=lambda emotion: scores[EMOTIONS.index(emotion)], default=None)


def _cut(span: Span, count: int) -> list[Span]:
    """Cut a span into parts of nearly one length, each of a word at least."""
    length = span.stop - span.start
    count = min(count, length)
    bounds = [span.start + length * at // count for at in range(count + 1)] if count else []
    return [Span(*pair) for pair in pairwise(bounds)]


def _closer(question: _Question, spans: list[Span], plan: Plan) -> list[Span]:
    """Return the parts of the span that weighs most; none where each word was left out already."""
    if len(question.words) <= plan.passes:
        return []
    heaviest = max(spans, key=lambda span: float(question.weights[span.start : span.stop].sum()))
    return _cut(heaviest, plan.passes - plan.spans)


def _leave_out(classifier: Classifier, questions: Sequence[_Question], spans: Sequence[list[Span]]) -> None:
    """Ask without each span, and share out what that costs among its words."""
    asked = [(question, span) for question, some in zip(questions, spans, strict=True) for span in some]
    scores = _log_odds(classifier, [" ".join(_without(question.words, span)) for question, span in asked])
    for (question, (start, stop)), row in zip(asked, scores, strict=True):
        question.weights[start:stop] = (question.score - row[question.column]) / (stop - start)


def _without(words: list[str], span: Span) -> Iterator[str]:
    yield from words[: span.start]
    yield from words[span.stop :]


def _log_odds(classifier: Classifier, texts: Sequence[str]) -> Floats:
    """Return the log-odds of texts as received, shape (texts, 7); of an empty one, those of the least probability.

    A probability near 1 hardly falls without a word that another one repeats; its log-odds do.
    """
    normal = [normalize(text) for text in texts]
    spoken = [at for at, text in enumerate(normal) if text]
    scores = np.zeros((len(texts), len(EMOTIONS)), np.float32)
    if spoken:
        scores[spoken] = classifier.classify([normal[at] for at in spoken])
    scores = scores.clip(_LEAST, 1 - _LEAST)
    odds: Floats = np.log(scores / (1 - scores))
    return odds

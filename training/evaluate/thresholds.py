"""From a network's outputs to decisions: calibrated probabilities, and the threshold of each emotion."""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import structlog
from sklearn.linear_model import LogisticRegression

from schemas.bundle import Calibration, Neutral
from schemas.decisions import Floats, Mask
from schemas.emotions import EMOTIONS

Aim = Literal["f1", "precision"]
"""What thresholds are chosen for. f1 is weighted F1 and macro F1 at once: both are sums over the emotions, with weights
that no threshold moves, so the threshold of each emotion that is best for one is best for the other."""

PRECISION: Final = 0.8
"""Wanted where the aim is precision and nobody says which."""

_NOTHING_KNOWN: Final = 0.5

_ROUNDS: Final = 20
"""Of moving each threshold; three are enough nearly always."""

log = structlog.get_logger(__name__)


def choose_thresholds(  # noqa: PLR0913 - the rows, and what they are tuned for.
    scores: Floats,
    targets: Floats,
    aim: Aim = "f1",
    *,
    precision: float = PRECISION,
    annotated: Mask | None = None,
    neutral: Neutral = "independent",
) -> Floats:
    """Choose the threshold of each emotion by trying all.

    Where neutral is exclusive, a row that loses its only emotion becomes neutral, so thresholds depend on each other.
    From each emotion's own best, one after the other is moved to where the sum of macro F1 and exact match is largest,
    until none moves. On calls that gained 1.4 points of exact match over weighted and macro F1, and lost .3 of the
    latter (docs/experiments.md, "Labels read again, more lines, and means of weights").

    Averaging the best thresholds of bootstrap samples was measured and not kept: over 25 pairs of random halves of
    5,426 rows it moved weighted F1 of the other half by +0.0006 and macro F1 by -0.0001.

    Args:
        scores: n x 7, 0 to 1.
        targets: n x 7, 0 to 1; shares between count as so much of a row, so that F1 is the expected one.
        aim: the best F1, or a wanted precision with as much recall as that leaves.
        precision: wanted, 0 to 1; where no threshold reaches it the most precise one is taken, with a warning.
        annotated: n x 7; False where the target says nothing. All are annotated where it is left out.
        neutral: whether it is assigned where nothing else is, or by its threshold.

    Returns:
        Thresholds, 7, in the middle between two scores, so that rounding moves no decision; an emotion is assigned
        at or above its own. 0.5 where no row has the emotion.
    """
    if aim == "f1":
        chosen = np.array([_of_best_f1(*column) for column in columns(scores, targets, annotated)], np.float32)
        return chosen if neutral == "independent" else _ascended(chosen, scores, targets, annotated)
    return np.array(
        [
            _of_precision(*column, precision, emotion)
            for emotion, column in zip(EMOTIONS, columns(scores, targets, annotated), strict=False)
        ],
        np.float32,
    )


def columns(values: Floats, targets: Floats, annotated: Mask | None) -> Iterator[tuple[Floats, Floats]]:
    """Yield for each emotion values and targets of the rows in which it was annotated.

    Args:
        values: n x emotions, scores or logits.
        targets: n x emotions.
        annotated: n x emotions, or None where all are.
    """
    for at in range(targets.shape[1]):
        rows = slice(None) if annotated is None else annotated[:, at]
        yield values[rows, at], targets[rows, at]


def _of_best_f1(scores: Floats, targets: Floats) -> float:
    if not targets.any():
        return _NOTHING_KNOWN
    ranked, hits, assigned = _ranked(scores, targets)
    return _below(ranked, int(np.argmax(2 * hits / (assigned + targets.sum()))))


def _ascended(chosen: Floats, scores: Floats, targets: Floats, annotated: Mask | None) -> Floats:
    """Return thresholds where moving one raises the sum of macro F1 and exact match no further; neutral is the rest."""
    known = np.ones(targets.shape, np.bool_) if annotated is None else annotated
    present = targets * known
    some = present.sum(0) > 0
    # Whether a whole row is right shows only where every emotion was annotated.
    whole = known.all(1) / max(known.all(1).sum(), 1)
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for at in np.flatnonzero(some[:-1]):
            others = np.arange(targets.shape[1] - 1) != at
            assigned = (scores[:, :-1] >= chosen[:-1])[:, others]
            right = whole * (assigned == (present[:, :-1] > _NOTHING_KNOWN)[:, others]).all(1)
            both = np.array([at, -1])
            # Rows that nothing but this emotion keeps from being neutral.
            free = np.asarray(~assigned.any(1))
            chosen[at] = _of_best_sum(scores[:, at], present[:, both], known[:, both], free, right * some.sum())
        if (chosen == before).all():
            break
    return chosen


def _of_best_sum(scores: Floats, present: Floats, known: Mask, free: Mask, right: Floats) -> float:
    """Return the threshold of one emotion at which its F1, neutral's and what rows that are right add are best.

    Args:
        scores: n, of the emotion.
        present: n x 2, 0 or 1, where the emotion and where neutral is.
        known: n x 2, where they were annotated.
        free: n, rows without another emotion.
        right: n, what a row adds when it is right; 0 where its other emotions are not.
    """
    emotion, neutral = (present > _NOTHING_KNOWN).T
    left, spared = known[:, 1] & free, present[:, 1] * free
    # A row is right with the emotion, or without it; then it is neutral if it has no other.
    exact = right * ((emotion & ~neutral).astype(np.float32) - (~emotion & (neutral == free)))
    ranked, sums = _summed(scores, np.column_stack([present[:, 0], known[:, 0], spared, left, exact]))
    hits, assigned, lost_hits, lost, won = sums.T
    own = 2 * hits / (assigned + present[:, 0].sum())
    kept = 2 * (spared.sum() - lost_hits) / np.maximum(left.sum() - lost + present[:, 1].sum(), 1)
    return _below(ranked, int(np.argmax(own + kept + won)))


def _of_precision(scores: Floats, targets: Floats, wanted: float, emotion: str) -> float:
    if not targets.any():
        return _NOTHING_KNOWN
    ranked, hits, assigned = _ranked(scores, targets)
    share = hits / assigned
    enough = np.flatnonzero(share >= wanted)
    if len(enough):
        return _below(ranked, int(enough[-1]))
    # Of equally precise ones, the one that finds the most.
    best = int(np.flatnonzero(share == share.max())[-1])
    log.warning(
        "no threshold is as precise as wanted", emotion=emotion, wanted=wanted, best=round(float(share[best]), 3)
    )
    return _below(ranked, best)


def _ranked(scores: Floats, targets: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the distinct scores, highest first, and how many rows at or above each have the emotion, and are there."""
    ranked, sums = _summed(scores, np.column_stack([targets, np.ones_like(targets)]))
    return ranked, sums[:, 0], sums[:, 1]


def _summed(scores: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the distinct scores, highest first, and the sums over the rows at or above each of n x k values."""
    order = np.argsort(-scores, kind="stable")
    ranked, sums = scores[order], np.cumsum(values[order], axis=0)
    # A cut between equal scores cannot be made.
    last = np.append(ranked[:-1] != ranked[1:], True)
    return ranked[last], sums[last]


def _below(ranked: Floats, at: int) -> float:
    following = ranked[at + 1] if at + 1 < len(ranked) else 0.0
    return float((ranked[at] + following) / 2)


def platt(logits: Floats, targets: Floats, annotated: Mask | None = None) -> list[Calibration]:
    """Fit Platt scaling for each emotion.

    Isotonic regression was measured and not kept: its expected calibration error on rows it was not fitted on was
    .0136 (mean of the emotions, 25 pairs of random halves of 5,426 rows), Platt's .0122; and a scale and a bias can be
    folded into the output layer, a step function cannot.

    Args:
        logits: n x emotions.
        targets: n x emotions, 0 or 1.
        annotated: n x emotions; False where the target says nothing.

    Returns:
        One an emotion; the identity where all rows agree, since there is nothing to fit.
    """
    return [_platt(*column) for column in columns(logits, targets, annotated)]


def _platt(logits: Floats, targets: Floats) -> Calibration:
    if len(np.unique(targets)) < 2:  # noqa: PLR2004 - with and without.
        return Calibration()
    # So little regularized that it is maximum likelihood, yet finite where the classes separate.
    fitted = LogisticRegression(C=1e3).fit(logits[:, None], targets)
    return Calibration(scale=float(fitted.coef_[0, 0]), bias=float(fitted.intercept_[0]))


def probabilities(logits: Floats, calibration: list[Calibration] | None = None) -> Floats:
    """Return sigmoid(scale * logit + bias), shape as given; without a calibration the sigmoid alone."""
    if calibration:
        scale = np.array([item.scale for item in calibration], np.float32)
        logits = logits * scale + np.array([item.bias for item in calibration], np.float32)
    positive: Floats = (1 / (1 + np.exp(-np.clip(logits, -60, 60)))).astype(np.float32)
    return positive

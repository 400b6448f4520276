"""How good a model is, in the figures of the field."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

from schemas.emotions import EMOTIONS
from training.thresholds import best_thresholds, platt, probabilities

Floats = NDArray[np.float32]

_BINS: Final = 10


def measure(scores: Floats, targets: Floats, thresholds: Floats) -> dict[str, Any]:
    """Measure decisions and scores.

    Args:
        scores: n x 7, calibrated probabilities.
        targets: n x 7, 0 or 1.
        thresholds: 7.

    Returns:
        weighted_f1, macro_f1 (over the emotions that occur), weighted_ap (average precision, weighted by how
        often an emotion occurs), mean_ece, and under `emotions` f1, average_precision, ece,
        threshold and support of each.
    """
    decisions = scores >= thresholds
    support = targets.sum(0)
    f1 = f1_score(targets, decisions, average=None, zero_division=0)
    precision = np.array(
        [average_precision_score(t, s) if t.any() else 0.0 for t, s in zip(targets.T, scores.T, strict=True)]
    )
    errors = np.array([calibration_error(s, t) for s, t in zip(scores.T, targets.T, strict=True)])
    weights = support / max(support.sum(), 1)
    return {
        "rows": len(targets),
        "weighted_f1": float(f1 @ weights),
        "macro_f1": float(f1[support > 0].mean()) if support.any() else 0.0,
        "weighted_ap": float(precision @ weights),
        "mean_ece": float(errors.mean()),
        "emotions": {
            emotion: {
                "f1": float(f1[at]),
                "average_precision": float(precision[at]),
                "ece": float(errors[at]),
                "threshold": float(thresholds[at]),
                "support": int(support[at]),
            }
            for at, emotion in enumerate(EMOTIONS)
        },
    }


def calibration_error(scores: Floats, targets: Floats) -> float:
    """Return the expected calibration error of one emotion, over ten bins of equal width.

    Source: Naeini et al. (2015), https://ojs.aaai.org/index.php/AAAI/article/view/9602.
    """
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=scores - targets, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(scores))


def cross_fitted(logits: Floats, targets: Floats, half: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Tune calibration and thresholds on one half and measure on the other, both ways.

    Args:
        logits: n x 7.
        targets: n x 7, 0 or 1.
        half: n, 0 or 1.

    Returns:
        For each half that was tuned on: tuned_on_half, tuned (measured there, too favourable), measured (on the other).
    """
    figures = []
    for tuned in (0, 1):
        here, there = half == tuned, half != tuned
        calibration = platt(logits[here], targets[here])
        scores = probabilities(logits, calibration)
        thresholds = best_thresholds(scores[here], targets[here])
        figures.append(
            {
                "tuned_on_half": tuned,
                "tuned": measure(scores[here], targets[here], thresholds),
                "measured": measure(scores[there], targets[there], thresholds),
            }
        )
    return figures

"""From a network's outputs to decisions: calibrated probabilities, and the threshold of each emotion."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from schemas.bundle import Calibration

Floats = NDArray[np.float32]


def best_thresholds(scores: Floats, targets: Floats) -> Floats:
    """Return for each emotion the threshold with the best F1, found by trying all.

    Args:
        scores: n x emotions, 0 to 1.
        targets: n x emotions, 0 or 1.

    Returns:
        Thresholds, one an emotion, in the middle between two scores, so that rounding moves no decision; an emotion
        is assigned at or above its own. 0.5 where no row has the emotion.
    """
    return np.array([_best(*column) for column in zip(scores.T, targets.T, strict=True)], np.float32)


def _best(scores: Floats, targets: Floats) -> float:
    if not targets.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(targets[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + targets.sum())
    # A cut between equal scores cannot be made.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1
    last = int(f1.argmax())
    following = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + following) / 2)


def platt(logits: Floats, targets: Floats) -> list[Calibration]:
    """Fit Platt scaling for each emotion.

    Args:
        logits: n x emotions.
        targets: n x emotions, 0 or 1.

    Returns:
        One an emotion; the identity where all rows agree, since there is nothing to fit.
    """
    return [_platt(*column) for column in zip(logits.T, targets.T, strict=True)]


def _platt(logits: Floats, targets: Floats) -> Calibration:
    if targets.min() == targets.max():
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

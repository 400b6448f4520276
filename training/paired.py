"""Two models on the same rows, and what a bootstrap says of the change from one to the other.

Each sample draws the same rows for both models, so that rows which are hard for either cancel out. Source: Efron and
Tibshirani (1993), An Introduction to the Bootstrap, chapter 8; for measures of a classifier, Berg-Kirkpatrick et al.
(2012), https://aclanthology.org/D12-1091.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.evaluation import BINS, Drawn, bins_of, counts, f1_in_samples, resampled
from training.thresholds import Floats, Mask

RESAMPLES: Final = 2_000


class Scores(NamedTuple):
    """What a model says of n rows: calibrated probabilities, n x 7, and thresholds, 7, or n x 7 where rows differ."""

    scores: Floats
    thresholds: Floats


class Rows(NamedTuple):
    """n rows on which both models were measured: targets, n x 7, 0 or 1; annotated, n x 7, False where unknown."""

    champion: Scores
    candidate: Scores
    targets: Floats
    annotated: Mask | None = None


class Changes(NamedTuple):
    """Candidate less champion in each of s bootstrap samples.

    Attributes:
        f1: of each emotion, s x 7.
        weighted_f1: s.
        mean_ece: expected calibration error, mean of the annotated emotions, s. A sample repeats rows, so the error of
            either model is larger in it than on the rows themselves, and the more the smaller it is there.
    """

    f1: Drawn
    weighted_f1: Drawn
    mean_ece: Drawn


def changes(rows: Rows, seed: int) -> Changes:
    """Return what changes from champion to candidate; equal seeds draw equal samples."""
    known = np.ones(rows.targets.shape, np.bool_) if rows.annotated is None else rows.annotated
    each = [
        np.hstack([*counts(model.scores, rows.targets, model.thresholds, known), _gaps(model, rows.targets, known)])
        for model in (rows.champion, rows.candidate)
    ]
    sums = resampled(np.hstack([*each, known]).astype(np.float64), RESAMPLES, seed)
    *halves, rows_known = np.split(sums, (each[0].shape[1], 2 * each[0].shape[1]), axis=1)
    asked = np.flatnonzero(known.any(0))
    before, after = (_measures(half, rows_known, asked) for half in halves)
    return Changes(*(new - old for old, new in zip(before, after, strict=True)))


def _gaps(model: Scores, targets: Floats, known: Mask) -> Floats:
    """Return score less target in the column of each emotion's bin: n x 70."""
    gaps = np.zeros((*targets.shape, BINS), np.float32)
    misses = np.where(known, model.scores - targets, 0).astype(np.float32)
    np.put_along_axis(gaps, bins_of(model.scores)[..., None], misses[..., None], 2)
    return gaps.reshape(len(targets), -1)


def _measures(sums: Drawn, known: Drawn, asked: NDArray[np.intp]) -> tuple[Drawn, Drawn, Drawn]:
    """Return F1, weighted F1 and mean calibration error of each sample, from its sums of one model."""
    hits, assigned, present, gaps = np.split(sums, np.arange(1, 4) * len(EMOTIONS), axis=1)
    errors = np.abs(gaps.reshape(len(sums), -1, BINS)).sum(2) / np.maximum(known, 1)
    return *f1_in_samples(hits, assigned, present), errors[:, asked].sum(1) / max(len(asked), 1)

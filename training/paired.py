"""Two models on the same rows, and what a bootstrap says of the change from one to the other.

Each sample draws the same rows for both models, so that rows which are hard for either cancel out. Source: Efron and
Tibshirani (1993), An Introduction to the Bootstrap, chapter 8; for measures of a classifier, Berg-Kirkpatrick et al.
(2012), https://aclanthology.org/D12-1091.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.evaluation import BINS, bins_of, counts
from training.thresholds import Floats, Mask

RESAMPLES: Final = 2_000

# Cells of one block of drawn rows: 32 MB, whatever the holdout's size.
_CELLS: Final = 4_000_000

Drawn = NDArray[np.float64]


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
    # Every measure is made of sums over the rows, so that a sample costs one row of a matrix product.
    each = [
        np.hstack([*counts(model.scores, rows.targets, model.thresholds, known), _gaps(model, rows.targets, known)])
        for model in (rows.champion, rows.candidate)
    ]
    each_row = np.hstack([*each, known]).astype(np.float64)
    sums = np.concatenate([times @ each_row for times in _times_drawn(len(each_row), seed)])
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
    f1 = 2 * hits / np.maximum(assigned + present, 1)
    weighted = (f1 * present).sum(1) / np.maximum(present.sum(1), 1)
    errors = np.abs(gaps.reshape(len(sums), -1, BINS)).sum(2) / np.maximum(known, 1)
    return f1, weighted, errors[:, asked].sum(1) / max(len(asked), 1)


def _times_drawn(rows: int, seed: int) -> Iterator[Drawn]:
    """Yield blocks of samples x rows: how often each sample drew each row."""
    random, block = np.random.default_rng(seed), max(_CELLS // rows, 1)
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = random.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)

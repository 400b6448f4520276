"""Two models on the same rows, and what a bootstrap says of the change from one to the other.

Each sample draws the same rows for both models, so that rows which are hard for either cancel out. Rows of one call
are alike, so that samples draw whole calls where they are known. Source: Efron and Tibshirani (1993), An Introduction
to the Bootstrap, chapter 8; for measures of a classifier, Berg-Kirkpatrick et al. (2012),
https://aclanthology.org/D12-1091; for whole clusters, Field and Welsh (2007), https://www.jstor.org/stable/4623276.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.decisions import Floats, Mask, Rule
from schemas.emotions import EMOTIONS
from training.evaluate.metrics import BINS, Drawn, bins_of, counts, f1_in_samples, times_drawn

RESAMPLES: Final = 2_000

_KEPT_CELLS: Final = 4_000_000
"""Cells of samples that are kept for the next comparison of as many rows: 16 MB."""


class Scores(NamedTuple):
    """What a model says of n rows: calibrated probabilities, n x 7, and what decides on them."""

    scores: Floats
    rule: Rule


class Rows(NamedTuple):
    """n rows on which both models were measured.

    Attributes:
        champion: scores and rule of the model that is served.
        candidate: scores and rule of the other one.
        targets: n x 7, 0 or 1.
        annotated: n x 7, False where the target says nothing; None where all are known.
        group: n, which call each row is in, from 0 on; None where each row is one of its own.
        weights: n, what each row counts for: one over the chance by which it was drawn; None for 1.
    """

    champion: Scores
    candidate: Scores
    targets: Floats
    annotated: Mask | None = None
    group: NDArray[np.intp] | None = None
    weights: Drawn | None = None


class Measures(NamedTuple):
    """One model in s bootstrap samples, or candidate less champion.

    Attributes:
        f1: F1 of each emotion, s x 7.
        weighted_f1: s.
        mean_ece: expected calibration error, mean of the annotated emotions, s. A sample repeats rows, so the error of
            either model is larger in it than on the rows themselves, and the more the smaller it is there.
    """

    f1: Drawn
    weighted_f1: Drawn
    mean_ece: Drawn


def bootstrap_changes(rows: Rows, seed: int) -> Measures:
    """Return candidate less champion in `RESAMPLES` bootstrap samples; equal seeds draw equal samples."""
    columns = _columns(rows)
    if rows.group is not None:
        of_rows, columns = columns, np.zeros((int(rows.group.max()) + 1, columns.shape[1]))
        np.add.at(columns, rows.group, of_rows)
    before, after = _measures(_resampled(columns, seed), _asked(rows))
    return Measures(*(new - old for old, new in zip(before, after, strict=True)))


def measured(rows: Rows) -> tuple[Measures, Measures]:
    """Return champion and candidate on the rows themselves: one sample."""
    return _measures(_columns(rows).sum(0, keepdims=True), _asked(rows))


def _asked(rows: Rows) -> NDArray[np.intp]:
    return np.arange(len(EMOTIONS)) if rows.annotated is None else np.flatnonzero(rows.annotated.any(0))


def _columns(rows: Rows) -> Drawn:
    """Return what each row adds to the sums: counts and gaps of the champion, of the candidate, and what is known."""
    known = np.ones(rows.targets.shape, np.bool_) if rows.annotated is None else rows.annotated
    each = [
        np.hstack([*counts(model.scores, rows.targets, model.rule, known), _gaps(model, rows.targets, known)])
        for model in (rows.champion, rows.candidate)
    ]
    columns = np.hstack([*each, known]).astype(np.float64)
    return columns if rows.weights is None else columns * rows.weights[:, None]


def _gaps(model: Scores, targets: Floats, known: Mask) -> Floats:
    """Return score less target in the column of each emotion's bin: n x 70."""
    gaps = np.zeros((*targets.shape, BINS), np.float32)
    misses = np.where(known, model.scores - targets, 0).astype(np.float32)
    np.put_along_axis(gaps, bins_of(model.scores)[..., None], misses[..., None], 2)
    return gaps.reshape(len(targets), -1)


def _resampled(columns: Drawn, seed: int) -> Drawn:
    units = len(columns)
    keep = units * RESAMPLES <= _KEPT_CELLS
    blocks: Iterable[Floats | Drawn] = [_kept(units, seed)] if keep else times_drawn(units, RESAMPLES, seed)
    # In single precision, which is twice as fast: counts are exact in it, and gaps lose a millionth.
    columns = columns.astype(np.float32)
    return np.concatenate([times.astype(np.float32, copy=False) @ columns for times in blocks]).astype(np.float64)


@lru_cache(maxsize=6)
def _kept(units: int, seed: int) -> Floats:
    return np.concatenate([times.astype(np.float32) for times in times_drawn(units, RESAMPLES, seed)])


def _measures(sums: Drawn, asked: NDArray[np.intp]) -> tuple[Measures, Measures]:
    known = sums[:, -len(EMOTIONS) :]
    before, after = (_of_model(half, known, asked) for half in np.hsplit(sums[:, : -len(EMOTIONS)], 2))
    return before, after


def _of_model(sums: Drawn, known: Drawn, asked: NDArray[np.intp]) -> Measures:
    """Return what one model measures in each sample, by its sums there."""
    hits, assigned, present, gaps = np.split(sums, np.arange(1, 4) * len(EMOTIONS), axis=1)
    # Not at least 1, as for whole rows: weights may add up to less.
    errors = np.abs(gaps.reshape(len(sums), -1, BINS)).sum(2) / np.where(known > 0, known, 1)
    return Measures(*f1_in_samples(hits, assigned, present), errors[:, asked].sum(1) / max(len(asked), 1))

"""How good a model is, in the figures of the field."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from schemas.bundle import Calibration, Neutral
from schemas.decisions import Floats, Mask, Rule
from schemas.emotions import EMOTIONS
from training.evaluate.thresholds import Aim, choose_thresholds, columns, platt, probabilities

BINS: Final = 10
"""Of a reliability diagram and of the calibration error."""

_RESAMPLES: Final = 1000
_CONFIDENCE: Final = (2.5, 97.5)

# Cells of one block of drawn rows: 32 MB, however many rows there are.
_CELLS: Final = 4_000_000

Drawn = NDArray[np.float64]


def measure(scores: Floats, targets: Floats, rule: Rule, annotated: Mask | None = None) -> dict[str, Any]:
    """Measure decisions and scores, each emotion on the rows in which it was annotated.

    Args:
        scores: n x 7, calibrated probabilities.
        targets: n x 7, 0 or 1.
        rule: decides which emotions are assigned.
        annotated: n x 7; False where the target says nothing.

    Returns:
        weighted_f1, macro_f1 (over the emotions that occur), macro_f1_emotions (over those but neutral), weighted_ap
        (average precision, weighted by how often an emotion occurs), exact_match (share of the rows that get all their
        annotated emotions and no other), mean_ece (over the annotated emotions), and under
        `emotions` f1, average_precision, ece, threshold and support of each that was annotated.
    """
    limits = np.broadcast_to(rule.thresholds, scores.shape)
    counted = counts(scores, targets, rule, annotated)
    f1, (_, assigned, present) = f1_scores(*counted), counted
    each = list(columns(scores, targets, annotated))
    support = np.array([target.sum() for _, target in each])
    precision = np.array([average_precision_score(t, s) if t.any() else 0.0 for s, t in each])
    errors = np.array([calibration_error(s, t) for s, t in each])
    known = np.array([len(target) > 0 for _, target in each])
    weights, occurs = support / max(support.sum(), 1), support > 0
    return {
        "rows": len(targets),
        "weighted_f1": float(f1 @ weights),
        "macro_f1": _mean(f1[occurs]),
        "macro_f1_emotions": _mean(f1[:-1][occurs[:-1]]),
        "weighted_ap": float(precision @ weights),
        "exact_match": _mean((assigned == present).all(1)),
        "mean_ece": _mean(errors[known]),
        "emotions": {
            emotion: {
                "f1": float(f1[at]),
                "average_precision": float(precision[at]),
                "ece": float(errors[at]),
                "threshold": float(limits[:, at].mean()),
                "support": int(support[at]),
            }
            for at, emotion in enumerate(EMOTIONS)
            if known[at]
        },
    }


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def counts(scores: Floats, targets: Floats, rule: Rule, annotated: Mask | None = None) -> tuple[Floats, Floats, Floats]:
    """Return true positives, rows assigned and rows that have the emotion: each n x 7, 0 or 1."""
    known = np.ones(targets.shape, np.bool_) if annotated is None else annotated
    assigned, present = rule.assign(scores) & known, (targets > 0) & known
    return (assigned & present).astype(np.float32), assigned.astype(np.float32), present.astype(np.float32)


def f1_scores(hits: Floats, assigned: Floats, present: Floats) -> NDArray[np.float64]:
    """Return the F1 of each emotion, 7, from `counts`; 0 where it was neither assigned nor there."""
    return np.asarray(2 * hits.sum(0) / np.maximum(assigned.sum(0) + present.sum(0), 1), np.float64)


def calibration_error(scores: Floats, targets: Floats) -> float:
    """Return the expected calibration error of one emotion, over ten bins of equal width; 0 for no rows.

    Source: Naeini et al. (2015), https://ojs.aaai.org/index.php/AAAI/article/view/9602.
    """
    gaps = np.bincount(bins_of(scores), weights=scores - targets, minlength=BINS)
    return float(np.abs(gaps).sum() / max(len(scores), 1))


def bins_of(scores: Floats) -> NDArray[np.intp]:
    """Return the bin of each score, 0 to 9."""
    return np.minimum((scores * BINS).astype(np.intp), BINS - 1)


def resampled(each_row: Drawn, samples: int, seed: int) -> Drawn:
    """Return the sums over the rows, samples x columns, in bootstrap samples of them.

    Equal seeds draw equal samples of equally many rows, so that two models or two forms of a text can be compared.
    Source: Efron (1979), https://doi.org/10.1214/aos/1176344552.

    Args:
        each_row: n x columns. What is measured by such sums costs one row of a matrix product a sample.
        samples: how many.
        seed: random seed for the samples.
    """
    return np.concatenate([times @ each_row for times in times_drawn(len(each_row), samples, seed)])


def times_drawn(rows: int, samples: int, seed: int) -> Iterator[Drawn]:
    """Yield blocks of samples x rows: how often each sample drew each row."""
    random, block = np.random.default_rng(seed), max(_CELLS // rows, 1)
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = random.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def f1_in_samples(hits: Drawn, assigned: Drawn, present: Drawn) -> tuple[Drawn, Drawn]:
    """Return F1 of each emotion, s x 7, and weighted F1, s, from the sums of `counts` in s samples, each s x 7."""
    # Not at least 1, as for whole rows: where rows have weights, sums may be less.
    either, all_present = assigned + present, present.sum(1)
    f1 = 2 * hits / np.where(either > 0, either, 1)
    return f1, (f1 * present).sum(1) / np.where(all_present > 0, all_present, 1)


def resampled_f1(hits: Floats, assigned: Floats, present: Floats, seed: int = 0) -> tuple[Drawn, Drawn]:
    """Return F1 of each emotion (1,000 x 7) and weighted F1 (1,000) in bootstrap samples of the rows; see `resampled`.

    Args:
        hits: of `counts`, as the two that follow.
        assigned: n x 7.
        present: n x 7.
        seed: random seed for the samples.
    """
    sums = resampled(np.hstack([hits, assigned, present]).astype(np.float64), _RESAMPLES, seed)
    return f1_in_samples(*np.hsplit(sums, 3))


def interval(values: Drawn) -> list[float]:
    """Return the 95 % percentile interval of bootstrap values."""
    return [float(value) for value in np.percentile(values, _CONFIDENCE)]


def from_other_half(  # noqa: PLR0913 - the rows, and what they are tuned for.
    logits: Floats,
    targets: Floats,
    half: NDArray[np.intp],
    annotated: Mask | None = None,
    *,
    varied: Floats | None = None,
    neutral: Neutral = "independent",
) -> tuple[Floats, Rule]:
    """Return scores, n x 7, and the rule for them, of each row by what was tuned on the half it is not in.

    Args:
        logits: n x 7.
        targets: n x 7, 0 or 1.
        half: n, 0 or 1.
        annotated: n x 7; False where the target says nothing.
        varied: n x 7, logits of the same rows in another form: these are scored, by what was tuned on the others.
        neutral: whether it is assigned where nothing else is, or by its threshold.
    """
    scored = logits if varied is None else varied
    scores, thresholds = np.empty_like(logits), np.empty_like(logits)
    for tuned in (0, 1):
        there = half != tuned
        calibration, thresholds[there] = _tuned(logits, targets, half == tuned, annotated, neutral=neutral)
        scores[there] = probabilities(scored[there], calibration)
    return scores, Rule(thresholds, neutral)


def cross_fitted(  # noqa: PLR0913 - the rows, and what they are tuned for.
    logits: Floats,
    targets: Floats,
    half: NDArray[np.intp],
    annotated: Mask | None = None,
    aim: Aim = "f1",
    *,
    neutral: Neutral = "independent",
) -> list[dict[str, Any]]:
    """Tune calibration and thresholds on one half and measure on the other, both ways.

    Args:
        logits: n x 7.
        targets: n x 7, 0 or 1.
        half: n, 0 or 1.
        annotated: n x 7; False where the target says nothing.
        aim: what thresholds are chosen for.
        neutral: whether it is assigned where nothing else is, or by its threshold.

    Returns:
        For each half that was tuned on: tuned_on_half, tuned (measured there, too favourable), measured (on the other).
    """
    figures = []
    for tuned in (0, 1):
        calibration, thresholds = _tuned(logits, targets, half == tuned, annotated, aim=aim, neutral=neutral)
        scores = probabilities(logits, calibration)
        measured: dict[str, Any] = {"tuned_on_half": tuned}
        for name, rows in (("tuned", half == tuned), ("measured", half != tuned)):
            known = None if annotated is None else annotated[rows]
            measured[name] = measure(scores[rows], targets[rows], Rule(thresholds, neutral), known)
        figures.append(measured)
    return figures


def _tuned(  # noqa: PLR0913 - the rows, and what they are tuned for.
    logits: Floats,
    targets: Floats,
    rows: Mask,
    annotated: Mask | None,
    *,
    aim: Aim = "f1",
    neutral: Neutral,
) -> tuple[list[Calibration], Floats]:
    """Return calibration and thresholds that were tuned on some rows."""
    known = None if annotated is None else annotated[rows]
    calibration = platt(logits[rows], targets[rows], known)
    scores = probabilities(logits[rows], calibration)
    return calibration, choose_thresholds(scores, targets[rows], aim, annotated=known, neutral=neutral)

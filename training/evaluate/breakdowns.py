"""Where a model is good and where it is not: the numbers that the report's plots show."""

from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.metrics import precision_recall_curve

from schemas.decisions import Floats, Rule
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.evaluate.metrics import BINS, bins_of, counts, f1_scores, interval, resampled_f1
from training.evaluate.thresholds import columns

LENGTHS: Final = ((1, 3), (4, 7), (8, 12), (13, 20), (21, None))
"""Words of a text, from and to."""

LIMITED_RATE: Final = 0.15
"""Word error rate at which the cost is limited."""

BUDGET: Final = 0.02
"""Weighted F1 that it may cost there."""

_Counts = tuple[Floats, Floats, Floats]
_POINTS: Final = 101
_WORST: Final = 12


class Mistake(NamedTuple):
    """A row and the emotion about which the model is most wrong there."""

    text: str
    labelled: list[str]
    emotion: str
    score: float


def break_down(examples: Examples, scores: Floats, rule: Rule) -> dict[str, Any]:
    """Return all that follows from one set's scores.

    Args:
        examples: n rows.
        scores: n x 7, calibrated probabilities.
        rule: decides which emotions are assigned.

    Returns:
        intervals (95 %, of F1 by bootstrap), curves, reliability, co_occurrence, confusion and by_length, in plain
        lists and numbers.
    """
    counted = counts(scores, examples.targets, rule, examples.annotated)
    f1, weighted = resampled_f1(*counted)
    known = [at for at in range(len(EMOTIONS)) if examples.annotated[:, at].any()]
    return {
        "intervals": {
            "weighted_f1": interval(weighted),
            "emotions": {EMOTIONS[at]: interval(f1[:, at]) for at in known},
        },
        "curves": _curves(examples, scores, counted),
        "reliability": _reliability(examples, scores),
        "co_occurrence": {"labelled": _together(counted[2]), "assigned": _together(counted[1])},
        "confusion": _confusion(examples, scores),
        "by_length": _by_length(examples, counted),
    }


def _curves(examples: Examples, scores: Floats, counted: _Counts) -> dict[str, Any]:
    """Return precision and recall of each emotion that occurs, in about a hundred points, and as assigned."""
    curves = {}
    each = columns(scores, examples.targets, examples.annotated)
    sums = np.stack([part.sum(0) for part in counted], axis=1)
    for emotion, (hits, assigned, present), (score, target) in zip(EMOTIONS, sums.tolist(), each, strict=True):
        if not target.any():
            continue
        precision, recall, _ = precision_recall_curve(target, score)
        # Recall falls; take points evenly spaced along it.
        at = np.unique(np.searchsorted(-recall, -np.linspace(0, 1, _POINTS)).clip(max=len(recall) - 1))
        curves[emotion] = {
            "recall": recall[at].round(4).tolist(),
            "precision": precision[at].round(4).tolist(),
            "at_threshold": {"recall": hits / present, "precision": hits / max(assigned, 1)},
        }
    return curves


def _reliability(examples: Examples, scores: Floats) -> dict[str, list[dict[str, float]]]:
    """Return for each emotion and bin that holds rows: mean score, share that has the emotion, rows."""
    diagrams = {}
    for emotion, (score, target) in zip(EMOTIONS, columns(scores, examples.targets, examples.annotated), strict=True):
        bins = bins_of(score)
        rows, said, there = (np.bincount(bins, weights, BINS) for weights in (None, score, target))
        diagrams[emotion] = [
            {"score": float(said[at] / rows[at]), "share": float(there[at] / rows[at]), "rows": int(rows[at])}
            for at in np.flatnonzero(rows)
        ]
    return {emotion: diagram for emotion, diagram in diagrams.items() if diagram}


def _together(present: Floats) -> list[list[float]]:
    """Return for each emotion (7) the share of its rows that has each emotion (7)."""
    shared = present.T @ present
    shares: list[list[float]] = (shared / np.maximum(np.diag(shared)[:, None], 1)).round(4).tolist()
    return shares


def _confusion(examples: Examples, scores: Floats) -> list[list[int]]:
    """Return rows by their only label (7) and by the emotion with the highest score (7)."""
    single = (examples.targets * examples.annotated).sum(1) == 1
    said = np.where(examples.annotated, scores, -1).argmax(1)
    table = np.zeros((len(EMOTIONS), len(EMOTIONS)), np.intp)
    np.add.at(table, (examples.targets[single].argmax(1), said[single]), 1)
    shares: list[list[int]] = table.tolist()
    return shares


def _by_length(examples: Examples, counted: _Counts) -> list[dict[str, Any]]:
    lengths = np.array([len(as_spoken(text).split()) for text in examples.texts])
    groups = []
    for first, last in LENGTHS:
        rows = (lengths >= first) & (lengths <= (last or np.inf))
        if not rows.any():
            continue
        hits, assigned, present = (each[rows] for each in counted)
        _, weighted = resampled_f1(hits, assigned, present)
        groups.append(
            {
                "words": f"{first}-{last}" if last else f"{first}+",
                "rows": int(rows.sum()),
                "weighted_f1": weighted_f1(hits, assigned, present),
                "interval": interval(weighted),
            }
        )
    return groups


def weighted_f1(hits: Floats, assigned: Floats, present: Floats) -> float:
    """Return weighted F1 from `evaluation.counts`."""
    support = present.sum(0)
    return float(f1_scores(hits, assigned, present) @ support / max(support.sum(), 1))


def compare_decisions(before: tuple[Floats, Floats, Floats], after: tuple[Floats, Floats, Floats]) -> dict[str, Any]:
    """Compare two decisions on the same rows.

    Args:
        before: `evaluation.counts` of one.
        after: of the other.

    Returns:
        weighted_f1 of the other, its change, and the change's 95 % interval.
    """
    changes = resampled_f1(*after)[1] - resampled_f1(*before)[1]
    value = weighted_f1(*after)
    return {"weighted_f1": value, "change": value - weighted_f1(*before), "interval": interval(changes)}


def mistakes(examples: Examples, scores: Floats) -> tuple[list[Mistake], list[Mistake]]:
    """Return what is most surely assigned though not labelled, and most surely missed though labelled; worst first."""
    wrong = np.where(examples.annotated, scores - examples.targets, 0)
    return _worst(examples, scores, wrong), _worst(examples, scores, -wrong)


def _worst(examples: Examples, scores: Floats, wrong: Floats) -> list[Mistake]:
    rows = np.argsort(-wrong.max(1), kind="stable")[:_WORST]
    return [
        Mistake(
            text=examples.texts[row],
            labelled=[EMOTIONS[at] for at in np.flatnonzero(examples.targets[row] * examples.annotated[row])],
            emotion=EMOTIONS[wrong[row].argmax()],
            score=float(scores[row, wrong[row].argmax()]),
        )
        for row in rows
        if wrong[row].max() > 0
    ]

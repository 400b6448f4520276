"""Calibration and thresholds fitted to few labels of a user's own, on the outputs of a network that stays as it is.

Whatever is fitted is drawn towards what the bundle has, and the more so the fewer rows carry an emotion:

- Platt scaling by maximum a posteriori: scale and bias of the bundle's calibrated logits, with a ridge penalty on what
  they change. Source: Platt (1999); the prior of a Gaussian is the ridge of Hoerl and Kennard (1970).
- The threshold of best *expected* F1, where a row counts by its label and by its calibrated probability. With few
  positives the labels alone would choose among a handful of scores. Source: Ye et al. (2012), Optimizing F-measures: a
  tale of two approaches, https://arxiv.org/abs/1206.4625.
- That threshold and the bundle's, averaged on the scale of logits.

`benchmarks/tuning.py` chose the constants and shows by simulation what comes of them.
"""

from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import Calibration, Tuning
from schemas.decisions import Floats, Mask, Rule, rule_of
from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.evaluate.metrics import interval, measure
from training.evaluate.paired_bootstrap import Rows, Scores, bootstrap_changes
from training.evaluate.thresholds import choose_thresholds, probabilities

FEWEST: Final = 50
"""Labels that can be tuned to; fewer show nothing."""

RIDGE: Final = (30.0, 3.0)
"""Weights of the penalties on scale less 1, and on bias: as if they had standard deviations of .18 and .58."""

LABELS: Final = 100.0
"""Positives at which a row's label counts as much as its calibrated probability."""

THRESHOLDS: Final = 10.0
"""Positives at which the threshold chosen counts as much as the bundle's."""

PARTS: Final = 10
"""Of the labels, or as many as there are sessions: each is scored by what was tuned on the others."""

SURE: Final = 0.9
"""Share of bootstrap samples in which weighted F1 must rise."""

_SESSIONS: Final = 5
_LOWEST_SCALE: Final = 0.1
_STEPS: Final = 50
_CLOSE: Final = 1e-9
_LONGEST_STEP: Final = 2.0
_NO_CERTAINTY: Final = 1e-6

_Doubles = NDArray[np.float64]


class Labels(NamedTuple):
    """n labelled rows, and what a network says of them.

    Attributes:
        logits: n x 7.
        targets: n x 7, 0 or 1.
        annotated: n x 7; False where the target says nothing.
        groups: n names of sessions; names of their own where rows have none.
    """

    logits: Floats
    targets: Floats
    annotated: Mask
    groups: NDArray[np.str_]

    def take(self, rows: Mask) -> "Labels":
        """Return some of the rows, by a mask."""
        return Labels(self.logits[rows], self.targets[rows], self.annotated[rows], self.groups[rows])

    @property
    def positives(self) -> NDArray[Any]:
        """How many rows carry each emotion, 7."""
        return np.asarray((self.targets * self.annotated).sum(0))


class Trial(NamedTuple):
    """What came of tuning to n rows.

    Attributes:
        before: the bundle's tuning.
        after: the one that was fitted to all rows.
        rows: n.
        groups: sessions, or n where none are named.
        positives: rows that carry each emotion, 7.
        figures: of `measure`, of the n rows, by the bundle's tuning and by what was tuned on the other parts.
        gain: 95 % interval of what weighted F1 gains from the one to the other, by paired bootstrap.
        sure: share of the bootstrap samples in which it gains.
    """

    before: Tuning
    after: Tuning
    rows: int
    groups: int
    positives: list[int]
    figures: tuple[dict[str, Any], dict[str, Any]]
    gain: list[float]
    sure: float

    @property
    def won(self) -> bool:
        """Whether it is to be kept: it wins on rows that it had not seen."""
        return self.sure >= SURE


def try_tuning(before: Tuning, labels: Labels, *, seed: int = 0) -> Trial:
    """Tune, and find out on rows that it has not seen whether that is better.

    The parts are whole groups, and the bootstrap draws groups, since rows of one call are alike.

    Args:
        before: the bundle's tuning.
        labels: to tune to.
        seed: random seed for the bootstrap samples.

    Raises:
        UnusableData: there are too few rows, of too few sessions, or none carries an emotion.
    """
    names, group = np.unique(labels.groups, return_inverse=True)
    _require_enough(labels, len(names))
    targets, known = labels.targets, labels.annotated
    rows = Rows(apply_tuning(before, labels.logits), _by_others(before, labels), targets, known, group)
    gained = bootstrap_changes(rows, seed).weighted_f1
    figures = [measure(each.scores, targets, each.rule, known) for each in (rows.champion, rows.candidate)]
    return Trial(
        before=before,
        after=tune(before, labels),
        rows=len(targets),
        groups=len(names),
        positives=[int(count) for count in labels.positives],
        figures=(figures[0], figures[1]),
        gain=interval(gained),
        sure=float((gained > 0).mean()),
    )


def tune(before: Tuning, labels: Labels) -> Tuning:
    """Fit calibration and thresholds to n rows; an emotion that none carries keeps what it has."""
    positives, known = labels.positives, labels.annotated
    own = [before.calibration[emotion] for emotion in EMOTIONS]
    ours = labels.logits.astype(np.float64) * [each.scale for each in own] + [each.bias for each in own]
    limits = _logit(rule_of(before).thresholds)
    steps = [
        _recalibrated(ours[rows, at], labels.targets[rows, at], limits[at]) if positives[at] else Calibration()
        for at, rows in enumerate(known.T)
    ]
    scales, biases = np.array([[step.scale, step.bias] for step in steps]).T
    scores = probabilities(ours * scales + biases)
    # Where neutral is the rest, what stays as it is has its say in that.
    scores[:, positives == 0] = (ours >= limits)[:, positives == 0]
    trust = positives / (positives + LABELS)
    expected = np.where(positives > 0, trust * labels.targets + (1 - trust) * scores, 0).astype(np.float32)
    best = choose_thresholds(scores, expected, annotated=known, neutral=before.neutral)
    share = positives / (positives + THRESHOLDS)
    if before.neutral == "exclusive":
        # Its threshold decides nothing.
        share[-1] = 0
    moved = share * (_logit(best) - biases) / scales + (1 - share) * limits
    thresholds = probabilities(moved * scales + biases)
    return Tuning(
        thresholds={
            emotion: float(thresholds[at]) if positives[at] else before.thresholds[emotion]
            for at, emotion in enumerate(EMOTIONS)
        },
        calibration={
            emotion: Calibration(float(step.scale * old.scale), float(step.scale * old.bias + step.bias))
            for emotion, step, old in zip(EMOTIONS, steps, own, strict=True)
        },
        neutral=before.neutral,
    )


def apply_tuning(tuning: Tuning, logits: Floats) -> Scores:
    """Return what a tuning makes of n x 7 logits."""
    calibration = [tuning.calibration[emotion] for emotion in EMOTIONS]
    return Scores(probabilities(logits, calibration), rule_of(tuning))


def on_its_scale(after: Tuning, before: Tuning) -> list[float]:
    """Return where the thresholds of a tuning lie among another's scores, 7, so that the two can be compared."""
    limits = _logit(rule_of(after).thresholds)
    moved = []
    for emotion, limit in zip(EMOTIONS, limits, strict=True):
        old, new = before.calibration[emotion], after.calibration[emotion]
        moved.append(float(probabilities(np.array((limit - new.bias) * old.scale / new.scale + old.bias))))
    return moved


def _by_others(before: Tuning, labels: Labels) -> Scores:
    """Return what becomes of each row by what was tuned on the parts that it is not in."""
    part = assign_parts(labels.groups)
    scores, thresholds = np.empty((2, *labels.logits.shape), np.float32)
    for at in np.unique(part):
        here = part == at
        tuned = apply_tuning(tune(before, labels.take(~here)), labels.logits[here])
        scores[here], thresholds[here] = tuned.scores, tuned.rule.thresholds
    return Scores(scores, Rule(thresholds, before.neutral))


def assign_parts(groups: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return the part of each row: groups stay whole, and the order of the rows does not matter.

    The parts hold equally many groups, to one, since a hash alone may leave some of few groups empty.
    """
    ranked = sorted(set(groups.tolist()), key=lambda name: (crc32(name.encode()), name))
    part = {name: at % PARTS for at, name in enumerate(ranked)}
    return np.array([part[name] for name in groups.tolist()], np.intp)


def _require_enough(labels: Labels, groups: int) -> None:
    rows = len(labels.targets)
    if rows < FEWEST:
        raise UnusableData(f"there are {rows} labels to tune to, and {FEWEST} are the fewest: label more texts")
    if groups < _SESSIONS:
        raise UnusableData(f"the labels are of {groups} sessions, and {_SESSIONS} are the fewest: label texts of more")
    if not labels.positives.any():
        raise UnusableData("no label carries an emotion, so there is nothing to tune to: look at the column emotions")


def _recalibrated(logits: _Doubles, targets: Floats, centre: float) -> Calibration:
    """Return how n calibrated logits are to be scaled and shifted, by Newton's method on a convex loss.

    Scale and bias are penalized about the threshold, where they matter. Labels that would turn an emotion's order
    around, or nearly, leave it as it is: no threshold helps there.
    """
    inputs = np.column_stack([logits - centre, np.ones_like(logits)])
    ridge, change = np.array(RIDGE), np.zeros(2)
    for _ in range(_STEPS):
        scores = 1 / (1 + np.exp(-np.clip(logits + inputs @ change, -60, 60)))
        slope = inputs.T @ (scores - targets) + ridge * change
        curve = (inputs * (scores * (1 - scores))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        change -= step * min(1, _LONGEST_STEP / max(np.abs(step).max(), _CLOSE))
        if np.abs(step).max() < _CLOSE:
            break
    scale = float(1 + change[0])
    if scale < _LOWEST_SCALE:
        return Calibration()
    return Calibration(scale, float(change[1] - change[0] * centre))


def _logit(shares: Floats) -> _Doubles:
    kept = np.clip(shares.astype(np.float64), _NO_CERTAINTY, 1 - _NO_CERTAINTY)
    logits: _Doubles = np.log(kept / (1 - kept))
    return logits

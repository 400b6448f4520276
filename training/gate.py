"""Whether a candidate replaces the champion: both are measured on the same rows, and every doubt is the champion's."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from schemas.emotions import EMOTIONS
from training.errors import UnusableData, UnusableModel
from training.evaluation import Drawn, interval, measure
from training.paired import RESAMPLES, Rows, Scores, changes
from training.thresholds import Floats, Mask


class Costs(NamedTuple):
    """What a model costs to serve: seconds for a fixed load, on one machine for both, and the bundle's size."""

    latency_s: float
    size_mb: float


class Limits(msgspec.Struct, frozen=True):
    """What is asked of a candidate.

    Attributes:
        margin: the lower bound of the gain in weighted F1 must lie above it.
        fall: F1 that an emotion may lose beyond doubt; a point.
        growth: factor by which latency and size may grow.
        calibration: mean calibration error that may be added beyond doubt; a point.
    """

    margin: float = 0.0
    fall: float = 0.01
    growth: float = 1.1
    calibration: float = 0.01


class Check(msgspec.Struct, frozen=True):
    """One demand and what became of it.

    Attributes:
        name: what is looked at.
        passed: whether the demand is met.
        champion: the champion's figure.
        candidate: the candidate's.
        interval: 95 %, of the change, where it was resampled.
        demand: what is asked, in words.
    """

    name: str
    passed: bool
    champion: float
    candidate: float
    demand: str
    interval: list[float] | None = None

    def line(self) -> str:
        """Return all of it in a line."""
        change = f"{self.candidate - self.champion:+.4g}"
        if self.interval is not None:
            change += f" [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}]"
        mark = "pass" if self.passed else "FAIL"
        return f"{mark}  {self.name}: {self.champion:.4g} -> {self.candidate:.4g}, {change}; asked: {self.demand}"


class Verdict(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, and why.

    Attributes:
        promoted: whether every check passed.
        checks: all of them, in a fixed order.
        rows: of the holdout.
        public_rows: of the public holdout; 0 where there was none.
        resamples: bootstrap samples.
        seed: of the samples.
        limits: what was asked.
    """

    promoted: bool
    checks: tuple[Check, ...]
    rows: int
    public_rows: int
    resamples: int
    seed: int
    limits: Limits

    @property
    def reason(self) -> str:
        """Return in a line why it was promoted or rejected."""
        failed = [check.name for check in self.checks if not check.passed]
        return f"rejected for {', '.join(failed)}" if failed else "surely better, and no worse in anything else"

    def lines(self) -> list[str]:
        """Return the verdict for people to read."""
        public = f"{self.public_rows} public rows" if self.public_rows else "no public rows"
        head = f"{'promote' if self.promoted else 'reject'}: {self.reason} ({self.rows} held-out rows, {public})"
        return [head, *(f"  {check.line()}" for check in self.checks)]

    def as_json(self) -> dict[str, Any]:
        """Return it in plain lists, numbers and strings, with the reason."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {**plain, "reason": self.reason}


_AS_ASKED: Final = Limits()


def judge(  # noqa: PLR0913 - two models, the rows, and what else is asked of them.
    champion: Scores,
    candidate: Scores,
    targets: Floats,
    annotated: Mask | None,
    *,
    costs: tuple[Costs, Costs],
    public: Rows | None,
    limits: Limits = _AS_ASKED,
    seed: int = 0,
) -> Verdict:
    """Judge a candidate against the champion on rows that neither was fitted on.

    Args:
        champion: on the holdout's n rows.
        candidate: on the same rows, in the same order.
        targets: n x 7, 0 or 1.
        annotated: n x 7, False where the target says nothing; None where all are known.
        costs: the champion's and the candidate's.
        public: both models on the frozen public holdout, if there is one.
        limits: what is asked.
        seed: of the bootstrap samples.

    Raises:
        UnusableData: there is no row, or shapes do not agree.
        UnusableModel: the candidate's scores are not all numbers.
    """
    rows = Rows(champion, candidate, targets, annotated)
    checks = _on_holdout(rows, limits, seed)
    checks += _of_costs(*costs, limits.growth)
    if public is not None:
        checks.append(_on_public(public, seed))
    return Verdict(
        promoted=all(check.passed for check in checks),
        checks=tuple(checks),
        rows=len(targets),
        public_rows=len(public.targets) if public else 0,
        resamples=RESAMPLES,
        seed=seed,
        limits=limits,
    )


def _on_holdout(rows: Rows, limits: Limits, seed: int) -> list[Check]:
    before, after = _measured(rows)
    change = changes(rows, seed)
    gain, demand = interval(change.weighted_f1), f"surely more than {limits.margin:g} gained"
    old, new = before["weighted_f1"], after["weighted_f1"]
    checks = [Check("weighted F1", gain[0] > limits.margin, old, new, demand, gain)]
    for at, emotion in enumerate(EMOTIONS):
        if emotion not in before["emotions"]:
            continue
        old, new = (figures["emotions"][emotion]["f1"] for figures in (before, after))
        fall, demand = interval(change.f1[:, at]), f"no fall surely beyond {limits.fall:g}"
        checks.append(Check(f"F1 of {emotion}", fall[1] >= -limits.fall, old, new, demand, fall))
    old, new = before["mean_ece"], after["mean_ece"]
    rise, demand = _reflected(change.mean_ece, new - old), f"no rise surely beyond {limits.calibration:g}"
    return [*checks, Check("mean calibration error", rise[0] <= limits.calibration, old, new, demand, rise)]


def _reflected(drawn: Drawn, measured: float) -> list[float]:
    """Return the basic interval, 95 %: that of the samples, reflected at the change that was measured.

    Samples repeat rows, which adds to an error of calibration, and the more the smaller it is: their own interval lies
    too low where the candidate is the worse one. Of 60 rows it never refused a candidate whose logits were ten times
    too large, and this one did in every second case. Source: Davison and Hinkley (1997), Bootstrap Methods, 5.2.1.
    """
    low, high = interval(drawn)
    return [2 * measured - high, 2 * measured - low]


def _on_public(rows: Rows, seed: int) -> Check:
    before, after = _measured(rows)
    change = interval(changes(rows, seed).weighted_f1)
    old, new = before["weighted_f1"], after["weighted_f1"]
    return Check("weighted F1 on public rows", change[1] >= 0, old, new, "no fall beyond noise", change)


def _of_costs(champion: Costs, candidate: Costs, growth: float) -> list[Check]:
    demand = f"at most {growth:g} times the champion's"
    return [
        Check(name, new <= growth * old, old, new, demand)
        for name, old, new in zip(("latency (s)", "size (MB)"), champion, candidate, strict=True)
    ]


def _measured(rows: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
    shape = rows.targets.shape
    if not len(rows.targets):
        raise UnusableData("the holdout has no rows; label more texts")
    known = shape if rows.annotated is None else rows.annotated.shape
    if not shape == known == rows.champion.scores.shape == rows.candidate.scores.shape:
        raise UnusableData(f"scores, targets and annotated must all be rows x emotions: {shape}")
    if not np.isfinite(rows.candidate.scores).all():
        raise UnusableModel("the candidate gives scores that are not numbers; its fit diverged")
    before, after = (
        measure(model.scores, rows.targets, model.thresholds, rows.annotated)
        for model in (rows.champion, rows.candidate)
    )
    return before, after

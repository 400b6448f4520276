"""What the gate looks at, a function each: the gain, every emotion, calibration, costs, conventions, public rows."""

import math
from collections.abc import Collection
from typing import Final

import msgspec
import numpy as np
from scipy.special import ndtri, stdtrit

from schemas.emotions import EMOTIONS
from training.evaluate.error_budget import BUDGET
from training.evaluate.metrics import Drawn, interval
from training.evaluate.paired_bootstrap import Measures, Rows, bootstrap_changes, measured
from training.retrain.costs import Costs, is_slower

POSITIVES: Final = 20
"""Texts that carry an emotion below which nothing is said of how it fares."""

FLOOR: Final = 0.1
"""F1 that an emotion may lose on the labels themselves, however few they are, unless chance may have done it."""

FEWEST_UNITS: Final = 1.5
"""Effective number of calls below which nobody can tell how far chance moves a figure."""

_SURE: Final = 0.05
_USUAL: Final = 0.1
_POWER: Final = float(ndtri(0.8))

_NO_SPREAD: Final = 1e-6
"""Standard error that counts as none: samples are summed in single precision."""


class Limits(msgspec.Struct, frozen=True):
    """What is asked of a candidate.

    Attributes:
        margin: the gain in weighted F1 must surely lie above it.
        error: chance, in a year, that a candidate no better than the champion is promoted.
        fall: F1 that an emotion may lose: five points. Where labels are enough, they must show that it lost no more.
        growth: factor by which latency and size may grow.
        calibration: mean calibration error that may be added beyond doubt; a point.
        public_veto: whether a fall on public sets refuses the candidate; else it is reported alone.
    """

    margin: float = 0.0
    error: float = BUDGET
    fall: float = 0.05
    growth: float = 1.1
    calibration: float = 0.01
    public_veto: bool = False


class Check(msgspec.Struct, frozen=True):
    """One demand and what became of it.

    Attributes:
        name: what is looked at.
        passed: whether the demand is met.
        champion: the champion's figure.
        candidate: the candidate's.
        demand: what is asked, in words.
        interval: of the change, where it was resampled; 95 %, of the gain as sure as the demand says.
        vetoes: whether the candidate is refused where the demand is not met; else the figures are there to be read.
        tells: whether the labels suffice to tell; where they do not, a check passes unless its floor is broken.
    """

    name: str
    passed: bool
    champion: float
    candidate: float
    demand: str
    interval: list[float] | None = None
    vetoes: bool = True
    tells: bool = True

    def line(self) -> str:
        """Return all of it in a line."""
        change = f"{self.candidate - self.champion:+.4g}"
        if self.interval is not None:
            change += f" [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}]"
        mark = ("pass" if self.tells else "open") if self.passed else "FAIL" if self.vetoes else "note"
        return f"{mark}  {self.name}: {self.champion:.4g} -> {self.candidate:.4g}, {change}; asked: {self.demand}"


class Compared(msgspec.Struct, frozen=True):
    """Candidate and another model on the same rows.

    Attributes:
        old: the other model's measures.
        new: the candidate's.
        change: in bootstrap samples.
        asked: emotions that were annotated, by their place among `EMOTIONS`.
        positives: rows that carry each emotion, 7.
        calls: that the samples draw; as many as rows where none are known.
        units: effective number of these calls, fewer than `calls` where they are unequal.
    """

    old: Measures
    new: Measures
    change: Measures
    asked: tuple[int, ...]
    positives: tuple[int, ...]
    calls: int
    units: float

    @classmethod
    def on(cls, rows: Rows, seed: int) -> "Compared":
        """Measure and resample both."""
        known = np.ones(rows.targets.shape, np.bool_) if rows.annotated is None else rows.annotated
        asked, positives = np.flatnonzero(known.any(0)), ((rows.targets > 0) & known).sum(0)
        sizes = _sizes(rows)
        return cls(
            *measured(rows),
            bootstrap_changes(rows, seed),
            tuple(asked.tolist()),
            tuple(positives.tolist()),
            len(sizes),
            float(sizes.sum() ** 2 / (sizes**2).sum()),
        )

    def spread(self, drawn: Drawn) -> float:
        """Return the standard error: the deviation of the samples, which hardly depends on how small they are biased.

        Samples of n calls spread by (n - 1) / n of the variance, which matters where there are two or three.
        """
        return float(drawn.std()) * math.sqrt(self.calls / max(self.calls - 1, 1))


def check_gain(compared: Compared, margin: float, error: float) -> Check:
    """Ask for a gain in weighted F1 that is surely above the margin.

    The bound is the gain less its standard error times a quantile of Student's distribution, which allows for few
    calls: of percentiles, 2,000 samples know those beyond 1 % badly. `benchmarks/gate.py` shows that its level holds.
    Nothing is sure where one call has most of the rows, or where all samples agree: chance cannot be measured there.

    Args:
        compared: with the champion.
        margin: to be gained at least.
        error: chance that a candidate without this gain passes.
    """
    old, new = float(compared.old.weighted_f1[0]), float(compared.new.weighted_f1[0])
    demand = f"surely more than {margin:g} gained, by an error of {error:.2%}"
    if not _can_tell_gain(compared):
        return Check("weighted F1", passed=False, champion=old, candidate=new, demand=demand, tells=False)
    half = _quantile(error, compared.units) * compared.spread(compared.change.weighted_f1)
    found = [new - old - half, new - old + half]
    return Check("weighted F1", found[0] > margin, old, new, demand, found)


def smallest_gain(compared: Compared, margin: float, error: float) -> float | None:
    """Return the smallest true gain in weighted F1 that these labels show in four of five cases, or None."""
    if not _can_tell_gain(compared):
        return None
    return margin + (_POWER + _quantile(error, compared.units)) * compared.spread(compared.change.weighted_f1)


def check_emotions(compared: Compared, fall: float, against: str = "") -> list[Check]:
    """Ask of each emotion that it is no worse.

    Where labels are enough they must show, by a one-sided bound of 95 %, that F1 fell by less than `fall`. They are
    enough where they would show it of an equal candidate in nine of ten cases, and `POSITIVES` texts carry the emotion.
    Elsewhere, and where one call has most of the rows, nobody can tell. There F1 may not fall by `FLOOR` or more,
    unless chance alone may do that (95 %).

    Args:
        compared: with the champion, or with the anchor.
        fall: F1 that may be lost.
        against: the anchor's version.
    """
    known = compared.units >= FEWEST_UNITS
    sure, usual = (_quantile(error, compared.units) for error in (_SURE, _USUAL))
    checks = []
    for at in compared.asked:
        emotion, positives = EMOTIONS[at], compared.positives[at]
        old, new, spread = (
            float(each)
            for each in (compared.old.f1[0, at], compared.new.f1[0, at], compared.spread(compared.change.f1[:, at]))
        )
        tells = known and positives >= POSITIVES and (sure + usual) * spread <= fall
        if tells:
            passed, demand = new - old - sure * spread >= -fall, f"surely no fall beyond {fall:g}"
        else:
            fell = new - old <= -FLOOR and new - old + sure * spread < 0
            passed, demand = not fell, f"no fall of {FLOOR:g} beyond chance; {positives} texts cannot tell {fall:g}"
        name = f"F1 of {emotion}" + (f" against {against}" if against else "")
        bounds = [new - old - sure * spread, new - old + sure * spread]
        checks.append(Check(name, passed, old, new, demand, bounds if known else None, tells=tells))
    return checks


def check_anchor(compared: Compared, fall: float, anchor: str) -> list[Check]:
    """Ask that nothing has been lost since the anchor: not by many steps either, each too small to be seen."""
    old, new = float(compared.old.weighted_f1[0]), float(compared.new.weighted_f1[0])
    whole = Check(f"weighted F1 against {anchor}", new >= old, old, new, "not below the anchor's")
    return [whole, *check_emotions(compared, fall, anchor)]


def check_calibration(compared: Compared, rise: float) -> Check:
    """Ask that the mean calibration error does not surely rise by more than a limit.

    The interval is the basic one, 95 %: that of the samples, reflected at the change that was measured. Samples repeat
    rows, which adds to an error of calibration, and the more the smaller it is: their own interval lies too low where
    the candidate is the worse one. Of 60 rows it never refused a candidate whose logits were ten times too large, and
    this one did in every second case. Source: Davison and Hinkley (1997), Bootstrap Methods, 5.2.1.
    """
    old, new = float(compared.old.mean_ece[0]), float(compared.new.mean_ece[0])
    low, high = interval(compared.change.mean_ece)
    found = [2 * (new - old) - high, 2 * (new - old) - low]
    return Check("mean calibration error", found[0] <= rise, old, new, f"no rise surely beyond {rise:g}", found)


def check_public(compared: Compared, *, veto: bool) -> Check:
    """Compare weighted F1 on public rows, and refuse a fall beyond noise where that is asked."""
    old, new, change = compared.old.weighted_f1[0], compared.new.weighted_f1[0], interval(compared.change.weighted_f1)
    demand = "no fall beyond noise" + ("" if veto else " (reported, no veto)")
    return Check("weighted F1 on public rows", change[1] >= 0, float(old), float(new), demand, change, veto)


def check_costs(champion: Costs, candidate: Costs, growth: float) -> list[Check]:
    """Ask that neither latency nor size grows by more than a factor."""
    demand, slower = f"at most {growth:g} times the champion's", is_slower(champion, candidate, growth)
    return [
        Check("latency (s)", not slower, champion.latency_s, candidate.latency_s, f"{demand}, in nearly all turns"),
        Check("size (MB)", candidate.size_mb <= growth * champion.size_mb, champion.size_mb, candidate.size_mb, demand),
    ]


def check_conventions(champion: Collection[str], candidate: Collection[str]) -> Check:
    """Ask that the candidate knows every convention that the champion knows: workers may serve by any of them."""
    missing = sorted(set(champion) - set(candidate))
    demand = (
        f"all that the champion knows; {', '.join(missing)} is missing" if missing else "all that the champion knows"
    )
    return Check("conventions", not missing, len(champion), len(set(champion) & set(candidate)), demand)


def _sizes(rows: Rows) -> Drawn:
    """Return what each call counts for: the weights of its rows together; each row is a call where none are known."""
    weights = np.ones(len(rows.targets)) if rows.weights is None else rows.weights
    return weights if rows.group is None else np.bincount(rows.group, weights).astype(np.float64)


def _can_tell_gain(compared: Compared) -> bool:
    return compared.units >= FEWEST_UNITS and compared.spread(compared.change.weighted_f1) > _NO_SPREAD


def _quantile(error: float, units: float) -> float:
    """Return how many standard errors a bound lies away, that is wrong in a share of the cases."""
    return float(-stdtrit(max(units - 1, 1), error))

"""How the gate spends its error over a year's looks, and when a look is worth it.

Each look at labels may promote by chance what is no better. All looks of a year share one budget: a look spends at most
half of what the others have left, and less while few labels judge. By the union bound the chance of one false promotion
in the year stays below the budget, however the looks hang together. Source: alpha spending, Lan and DeMets (1983),
https://doi.org/10.1093/biomet/70.3.659.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from scipy.special import ndtri

BUDGET: Final = 0.05
"""Error of a year, by default."""

SHOWN: Final = (300, 600, 1_000, 2_000, 5_000)
"""Numbers of labels for which `labels stats` and docs/retraining.md say what they can show."""

YEAR: Final = timedelta(days=365)

FULL: Final = 1_000
"""Labels that judge from which on a look spends half of what is left; with fewer, it spends in proportion."""

AGAIN: Final = 1.6
"""Growth of the labels that judge until another candidate is tried against the same champion. A look at hardly more
labels than the last one would spend much and learn little."""


SPREAD: Final = 0.25
"""Standard error of a gain in weighted F1, times the root of the labels that judge: of two models that differ in 5 % of
their answers, by `benchmarks/gate.py`."""

_POWER: Final = 0.8


class Look(NamedTuple):
    """One look of the gate at labels.

    Attributes:
        run: that looked.
        at: when it did.
        error: what it spent.
        rows: labels that judged.
        champion: version that was compared with.
    """

    run: int
    at: datetime
    error: float
    rows: int
    champion: str


def error_of_look(budget: float, looks: Sequence[Look], now: datetime, rows: int) -> float:
    """Return the error that a look may spend.

    Args:
        budget: of a year.
        looks: earlier ones; those of more than a year ago have paid back what they spent.
        now: when the look is.
        rows: labels that judge.
    """
    left = budget - sum(look.error for look in looks if now - look.at < YEAR)
    return max(left, 0.0) / 2 * min(1.0, rows / FULL)


def typical_gain(budget: float, rows: int) -> float:
    """Return the smallest gain in weighted F1 that these labels show at a year's first look, in four of five cases.

    Args:
        budget: error of a year.
        rows: labels that judge, drawn at random.
    """
    error = error_of_look(budget, [], datetime.now(UTC), rows)
    quantiles = float(ndtri(_POWER)) - float(ndtri(error))
    return quantiles * SPREAD / math.sqrt(max(rows, 1))


def rows_needed(looks: Sequence[Look], champion: str) -> int:
    """Return how many labels must judge before another candidate is tried against this champion."""
    return max((int(AGAIN * look.rows) for look in looks if look.champion == champion), default=0)

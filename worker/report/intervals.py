"""Intervals of shares that mean something at small counts."""

from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

_Z: Final = NormalDist().inv_cdf(0.975)
"""Of 95 % intervals."""


class Share(NamedTuple):
    """Calls that have something, out of all calls, with a 95 % interval."""

    found: int
    of: int

    @property
    def value(self) -> float:
        """Share of the calls, 0 to 1; 0 where there are none."""
        return self.found / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval, 0 to 1.

        Source: E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
        """
        if not self.of:
            return 0.0, 1.0
        square = _Z * _Z / self.of
        middle = self.value + square / 2
        half = _Z * sqrt(self.value * (1 - self.value) / self.of + square / (4 * self.of))
        # Rounding may leave a hair's breadth at the ends.
        return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def difference(now: Share, before: Share) -> tuple[float, float]:
    """Return the 95 % interval of the change of a share, -1 to 1.

    Source: R. G. Newcombe (1998), Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17, method 10.
    """
    (low, high), (low_before, high_before) = now.interval, before.interval
    change = now.value - before.value
    down = sqrt((now.value - low) ** 2 + (high_before - before.value) ** 2)
    up = sqrt((high - now.value) ** 2 + (before.value - low_before) ** 2)
    return change - down, change + up

"""Drawing rows by chance, some more likely than others, so that what is measured on them can be set right by weights.

A text's chance is a random share plus the rest in proportion to its score. So no text is impossible, and none counts
for more than one over that share. The draw is sequential Poisson sampling: texts in the order of a random number over
their chance, the first ones. Sources: Ohlsson (1998), Sequential Poisson Sampling, Journal of Official Statistics 14;
weights by the inverse chance, Horvitz and Thompson (1952), https://doi.org/10.1080/01621459.1952.10483446.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

RANDOM_SHARE: Final = 0.3
"""Of a draw, by default. `benchmarks/gate.py` shows what equal and better models make of it."""

_Doubles = NDArray[np.float64]


def draw_by_chance(
    scores: _Doubles, numbers: _Doubles, count: int, random_share: float = RANDOM_SHARE
) -> tuple[NDArray[np.intp], _Doubles]:
    """Draw rows, those of high scores more likely.

    Args:
        scores: n, 0 or more.
        numbers: n random numbers, 0 to 1, that decide.
        count: rows to draw; all where there are no more.
        random_share: of the chance that is equal for all rows, above 0.

    Returns:
        The rows drawn, and of all n rows how much more likely than by an equal chance: 1 for all where the share is 1.
    """
    if len(scores) <= count:
        return np.arange(len(scores)), np.ones(len(scores))
    mean = scores.mean()
    ratio = random_share + (1 - random_share) * (scores / mean if mean > 0 else np.ones_like(scores))
    chance = _inclusion(ratio, count)
    drawn = np.argsort(numbers / chance, kind="stable")[:count]
    return drawn, chance * len(scores) / count


def _inclusion(ratio: _Doubles, count: int) -> _Doubles:
    """Return the chance of each row in proportion to its ratio, at most 1, so that `count` are drawn on average."""
    sure = np.zeros(len(ratio), np.bool_)
    while True:
        chance = np.where(sure, 1.0, ratio * (count - sure.sum()) / ratio[~sure].sum())
        beyond = chance > 1
        if not beyond.any():
            return chance
        sure |= beyond

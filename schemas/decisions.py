"""From probabilities to emotions: the one place that decides what is assigned."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import Neutral, Tuning
from schemas.emotions import EMOTIONS

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Rule(NamedTuple):
    """What assigns emotions to texts.

    Attributes:
        thresholds: of each emotion, 7, or n x 7 where texts have thresholds of their own.
        neutral: exclusive assigns it exactly where no other emotion is, so that its threshold is not used; independent
            assigns it at or above its threshold, like any other.
    """

    thresholds: Floats
    neutral: Neutral = "independent"

    def assign(self, scores: Floats) -> Mask:
        """Return which emotions are assigned, n x 7, by their probabilities, n x 7."""
        assigned: Mask = scores >= self.thresholds
        if self.neutral == "exclusive":
            assigned[:, -1] = ~assigned[:, :-1].any(1)
        return assigned


def rule_of(tuning: Tuning, neutral: Neutral | None = None) -> Rule:
    """Return the rule of a convention, with another meaning of neutral where one is given."""
    thresholds = np.array([tuning.thresholds[emotion] for emotion in EMOTIONS], np.float32)
    return Rule(thresholds, neutral or tuning.neutral)

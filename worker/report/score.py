"""How much went wrong in a call: the score by which calls are ranked; docs/reports.md explains it to its readers."""

from typing import Final

DISTRESS: Final = ("anger", "disgust", "fear", "sadness")
"""The emotions that count. A turn's distress is the highest of their probabilities."""

WORST_TURNS: Final = 3
"""Turns whose mean distress is the severity, so that one misheard line does not make a call the worst."""

WRONG: Final = 50
"""Points from which on a call counts as gone wrong."""

TURNED: Final = 0.25
"""Fall of the mean distress from before the last third to the last third, from which on a call has turned round."""

LEAST_TURNS: Final = 4
"""Customer turns of a call that can turn round."""

_SEVERITY, _LENGTH, _ENDING = 0.5, 0.25, 0.25


def score_call(severity: float, length: float, ending: float) -> float:
    """Return the points of a call, 0 to 100.

    Args:
        severity: mean distress of the customer's three worst turns.
        length: share of the customer's turns that carry one of the four emotions, as `length_of` damps it.
        ending: mean distress of the last third of the customer's turns.
    """
    return 100 * (_SEVERITY * severity + _LENGTH * length + _ENDING * ending)


def length_of(distressed: int, turns: int) -> float:
    """Return how much of a call was distressed, 0 to 1; two calm turns are added, so that short calls count less."""
    return distressed / (turns + 2)

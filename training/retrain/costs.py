"""What champion and candidate cost to serve: seconds of runs that took turns, and the size of the bundles."""

from typing import Final, NamedTuple

REPEATS: Final = 9
"""Runs of each model; they take turns, so that a busy stretch of the machine meets both."""

SLOWER: Final = 8
"""Turns in which a model that is too slow takes too long. By chance an equal one does so once in fifty times, by the
sign test: 10 of 512 ways in which nine coins fall."""


class Costs(NamedTuple):
    """What a model costs to serve: seconds of each run on the load, and the megabytes of its weights and vocabulary."""

    seconds: tuple[float, ...]
    size_mb: float

    @property
    def latency_s(self) -> float:
        """The fastest run's: other work on the machine only ever adds to a time."""
        return min(self.seconds)


def is_slower(champion: Costs, candidate: Costs, growth: float) -> bool:
    """Say whether the candidate surely takes more than `growth` times the champion's time: in nearly all turns."""
    turns = [new > growth * old for old, new in zip(champion.seconds, candidate.seconds, strict=True)]
    return sum(turns) > len(turns) * (SLOWER - 1) / REPEATS

"""Whether two groups of sessions differ in any of several measures, by permutation of whole sessions.

Rows of one session are alike, so rows cannot be exchanged one by one. Under the null hypothesis sessions can. Each
permutation deals the sessions to the two groups again and measures all differences. A measure's p-value is the share of
permutations whose largest difference, over all measures, reaches that measure's own. So it is corrected for their
number, however they hang together. Source: Westfall and Young (1993), Resampling-Based Multiple Testing, chapter 2.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS: Final = 999

_POINTS: Final = 100
"""Where two distributions are compared: quantiles of both together."""

_AT_ONCE: Final = 100
"""Permutations that are measured at once, which bounds the memory."""

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


class Measure(NamedTuple):
    """One value a row.

    Attributes:
        name: what is measured.
        values: n; 0 or 1 where the kind is h.
        counted: n, False where a row has no value.
        kind: D is the largest distance of two distribution functions, h Cohen's distance of two shares.
    """

    name: str
    values: NDArray[Any]
    counted: Mask
    kind: Literal["D", "h"]


class Difference(NamedTuple):
    """How a measure differs between the groups; p_value is corrected for the number of measures."""

    effect: float
    p_value: float


def differences(  # noqa: PLR0913 - the last ones only tell how it is drawn.
    measures: Sequence[Measure],
    sessions: NDArray[np.int64],
    window: Mask,
    strata: NDArray[np.int64],
    *,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> list[Difference]:
    """Compare the sessions of a window with all others.

    Args:
        measures: each of n rows.
        sessions: n, the number of each row's session, from 0 to s - 1.
        window: s, True for the sessions of the window.
        strata: s; sessions change places within their stratum only. A stratum with sessions of one group stays there.
        seed: random seed of the permutations.
        permutations: how many.
    """
    groups = _permuted(window, strata, permutations, seed)
    order = np.argsort(sessions, kind="stable")
    starts = np.searchsorted(sessions[order], np.arange(len(window)))
    effects = np.stack([_effects(measure, order, starts, groups) for measure in measures])
    # Measured in their own spread under the permutations, so that the largest is no matter of the unit.
    spread = effects.std(1, keepdims=True)
    scaled = np.where(spread > 0, (effects - effects.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1), 0)
    largest = scaled.max(0)
    # The observed one is among them: it is one of the orders that were as likely. Sums of floats differ in their order.
    p_values = (largest >= scaled[:, :1] - 1e-9).mean(1)
    return [Difference(float(effect), float(p)) for effect, p in zip(effects[:, 0], p_values, strict=True)]


def _permuted(window: Mask, strata: NDArray[np.int64], permutations: int, seed: int) -> Mask:
    """Return the groups as they are, and permuted within strata: (1 + permutations) x s."""
    random = np.random.default_rng(seed)
    groups = np.tile(window, (1 + permutations, 1))
    for stratum in np.unique(strata):
        (members,) = np.nonzero(strata == stratum)
        groups[1:, members] = random.permuted(groups[1:, members], axis=1)
    return groups


def _effects(measure: Measure, order: NDArray[np.int64], starts: NDArray[np.int64], groups: Mask) -> Floats:
    """Return the size of a measure's difference between each pair of groups: 1 + permutations."""
    if measure.kind == "D":
        points = np.unique(np.quantile(measure.values[measure.counted], np.linspace(0, 1, _POINTS), method="lower"))
        hits = measure.values[:, None] <= points
    else:
        hits = measure.values.astype(np.bool_)[:, None]
    # What each session adds: rows that hold, and rows.
    rows = np.concatenate([hits, np.ones((len(hits), 1), np.bool_)], 1) & measure.counted[:, None]
    added = np.add.reduceat(rows[order].astype(np.float32), starts, axis=0)
    total = added.sum(0)
    found = []
    for start in range(0, len(groups), _AT_ONCE):
        now = groups[start : start + _AT_ONCE].astype(np.float32) @ added
        before, after = (each[:, :-1] / np.maximum(each[:, -1:], 1) for each in (total - now, now))
        found.append(_distance(before, after, measure.kind))
    return np.concatenate(found)


def _distance(before: Floats, now: Floats, kind: str) -> Floats:
    if kind == "D":
        largest: Floats = np.abs(now - before).max(1)
        return largest
    old, new = (2 * np.arcsin(np.sqrt(np.clip(share[:, 0], 0, 1))) for share in (before, now))
    apart: Floats = np.abs(new - old)
    return apart

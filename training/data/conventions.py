"""Conventions of labels: which of them a run teaches, and which of them its bundle keeps.

People who label calls mean other things by the same words than those who labelled forum comments. So each convention
has an output head of its own over one encoder.
"""

from collections.abc import Sequence

from schemas.bundle import Manifest
from training.data.examples import Examples
from training.errors import UnusableData


def order_conventions(sets: Sequence[Examples], default: str, base: Manifest | None) -> list[str]:
    """Name the conventions that the sets follow or the base of a warm start knows, the default one first."""
    known = {name for examples in sets for name in examples.conventions} | set(base.tunings if base else ())
    return sorted(known, key=lambda name: (name != default, name))


def tuning_rows(evaluation: Sequence[Examples], sources: Sequence[str], convention: str) -> Examples | None:
    """Return the rows that choose the thresholds and the calibration of a convention; None if there are none.

    Args:
        evaluation: Validation sets.
        sources: Names of the sets that may choose, the preferred one first.
        convention: Name of the convention.
    """
    of_name = {examples.source: examples for examples in evaluation if examples.conventions == (convention,)}
    return next((of_name[name] for name in sources if name in of_name), None)


def require_tuning_rows(evaluation: Sequence[Examples], sources: Sequence[str], convention: str) -> Examples:
    """Return the rows that choose the thresholds and the calibration of a convention.

    Raises:
        UnusableData: there are none.
    """
    found = tuning_rows(evaluation, sources, convention)
    if found is None:
        raise UnusableData(
            f"there are no validation rows of {' or '.join(sources)} that follow the convention "
            f"{convention}: name the folder or hub name of one in the data, or another set as `measured`"
        )
    return found


def kept_conventions(
    names: Sequence[str], evaluation: Sequence[Examples], sources: Sequence[str], base: Manifest | None
) -> list[str]:
    """Name the conventions that a bundle keeps: those with rows to tune them on, and those of a warm start's base."""
    before = base.tunings if base else {}
    return [name for name in names if name in before or tuning_rows(evaluation, sources, name) is not None]

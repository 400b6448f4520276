"""When something was said, from the numbers and the text that recognizers write."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = (1.0, 1e6, 1e9)
"""Units in a second: seconds, milliseconds, microseconds and nanoseconds."""

# A number of one unit is none of another: each reaches from 1973 to 5138.
_LEAST_S: Final = 1e8
_MOST_S: Final = 1e11

# Go and .NET write so what was never set, and not every time zone has it.
_FIRST_YEAR: Final = 1
_LAST_YEAR: Final = 9999


def from_number(number: float) -> datetime | None:
    """Return the moment that a number since 1970 stands for; None where it is too small or too large for any.

    Args:
        number: seconds, milliseconds, microseconds or nanoseconds, told apart by size.
    """
    if _LEAST_S * 1e3 <= number < _MOST_S * 1e3:  # As nearly all send it.
        return datetime.fromtimestamp(number / 1e3, UTC)
    for unit in _UNITS:
        if _LEAST_S * unit <= number < _MOST_S * unit:
            return datetime.fromtimestamp(number / unit, UTC)
    return None


def from_calendar(moment: datetime) -> datetime | None:
    """Return a moment with its time zone, UTC where it names none; None where it is the calendar's first or last."""
    if _FIRST_YEAR < moment.year < _LAST_YEAR:
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None

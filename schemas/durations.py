"""Stretches of time, as people write them."""

import re
from datetime import timedelta
from typing import Final

from schemas.errors import UserError

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Return what "7d" means; minutes, hours, days and weeks are known by their first letter.

    Raises:
        UserError: it means nothing.
    """
    said = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", text.strip())
    if not said:
        raise UserError(f"{text!r} is no stretch of time: write 90m, 12h, 7d or 2w")
    return timedelta(**{_UNITS[said[2]]: int(said[1])})

"""Which dead letters an operator means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Those dead letters that fit all that is given."""

    reason: str | None = None
    """Only those whose reason holds these words, in any case; a stage is part of it: decode, classify, store."""
    key: str | None = None
    """Only those whose record has this key; a binary key is given as `list` shows it."""
    since: datetime | None = None
    """Only those rejected at this moment or later; UTC where it names no zone."""
    until: datetime | None = None
    """Only those rejected before this moment; UTC where it names no zone."""


EVERY: Final = Selection()

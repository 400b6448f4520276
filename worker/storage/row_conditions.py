"""What holds of rows by when they were said; where nobody knows that, it counts when the row was written."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_

from schemas.tables import emotion_results

_COLUMNS: Final = emotion_results.c


def said_since(since: datetime) -> ColumnElement[bool]:
    """Return what holds of a row that was said since a time."""
    return or_(_COLUMNS.spoken_at >= since, without_a_time(since))


def without_a_time(since: datetime) -> ColumnElement[bool]:
    """Return what holds of a row of which nobody knows when it was said, and that was written since a time."""
    return and_(_COLUMNS.spoken_at.is_(None), _COLUMNS.processed_at >= since)


def begun_before(before: datetime) -> ColumnElement[bool]:
    """Return what holds of the first row of a message that was said before a time."""
    unknown = and_(_COLUMNS.spoken_at.is_(None), _COLUMNS.processed_at < before)
    return and_(func.coalesce(_COLUMNS.part, 1) == 1, or_(_COLUMNS.spoken_at < before, unknown))

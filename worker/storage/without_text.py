"""Rows whose texts were not kept: nothing can score them again."""

from datetime import datetime

from sqlalchemy import Engine, func, select

from schemas.tables import emotion_results
from worker.storage.database import database_problems
from worker.storage.row_conditions import said_since


def count_without_text(engine: Engine, since: datetime) -> int:
    """Return how many rows with scores keep no text, of those that were said since a time.

    Raises:
        Away: the database cannot be reached.
    """
    columns = emotion_results.c
    query = select(func.count()).where(said_since(since), columns.text.is_(None), columns.neutral.is_not(None))
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).scalar_one()

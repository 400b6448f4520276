"""Rows of the results database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text

from worker.report.rows import Row
from worker.storage.database import connect, database_problems
from worker.storage.migrate import require_migrated

_AT_ONCE: Final = 5_000
"""Rows that the driver fetches at once."""

# Rows are sorted by call: in memory, where they fit. What JIT compiles runs once, and costs more than it saves.
_READ: Final = (
    "SET TRANSACTION READ ONLY; SET LOCAL TimeZone = 'UTC'; SET LOCAL work_mem = '256MB'; SET LOCAL jit = off"
)


class PostgresRows:
    """Rows of `emotion_results`, all as they stood at one moment.

    Args:
        connection: connection within a transaction.
    """

    origin: Final = "the results database"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, question: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of an answer, as they come from the server.

        Raises:
            Away: the database cannot be reached, or has cancelled the question.
        """
        with database_problems():
            answer = self._connection.execution_options(yield_per=_AT_ONCE).execute(text(question), values)
            yield from answer.mappings()


@contextmanager
def open_postgres(url: str) -> Iterator[PostgresRows]:
    """Open the results database for reading; nothing in it is changed.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the URL is wrong, or the tables are not there.
    """
    engine = connect(url, "emotion-worker-report", connections=1)
    try:
        with database_problems():
            require_migrated(engine)
            isolated = engine.connect().execution_options(isolation_level="REPEATABLE READ")
        with isolated, isolated.begin():
            isolated.exec_driver_sql(_READ)
            yield PostgresRows(isolated)
    finally:
        engine.dispose()

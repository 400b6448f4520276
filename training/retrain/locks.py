"""A lock in Postgres that one process holds, wherever it runs, and that goes with it."""

from contextlib import suppress
from typing import Any, Final, LiteralString, cast

import psycopg
from sqlalchemy import Engine, PoolProxiedConnection

# A machine that has gone gives its lock up within a minute, and a lock that waits for a fit is no idle session. By a
# Unix socket there is nothing to keep alive, and Postgres takes the settings all the same.
_SESSION: Final = """
SELECT set_config('idle_session_timeout', '0', false), set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)
"""


class Lock:
    """An advisory lock, held by a connection that does nothing else.

    Postgres gives it up when the connection ends. A pooler that hands one session to several clients, as PgBouncer does
    in transaction mode, cannot stand between.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        key: what the lock is known by in that database.
    """

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._detached: PoolProxiedConnection | None = None

    def take(self) -> bool:
        """Return whether it was free, and is ours now.

        Raises:
            psycopg.Error: Postgres is away; or SQLAlchemy's DBAPIError, where the connection is not made.
        """
        self.close()
        # SQLAlchemy's own Connection would connect again where this one has died, and hold no lock.
        self._detached = self._engine.raw_connection()
        self._detached.detach()
        self._connection.autocommit = True
        self._connection.execute(_SESSION)
        return bool(self._first("SELECT pg_try_advisory_lock(%s)", self._key))

    def held(self) -> bool:
        """Return whether the connection that took it still stands."""
        try:
            return bool(self._first("SELECT 1"))
        except psycopg.Error:
            return False

    def close(self) -> None:
        """Give it up."""
        if self._detached is not None:
            # Before the connection, whose end Postgres notices only later.
            with suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()

    def _first(self, query: LiteralString, *parameters: int) -> Any:
        [answer] = self._connection.execute(query, parameters).fetchone() or [None]
        return answer

    @property
    def _connection(self) -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", self._detached and self._detached.dbapi_connection)

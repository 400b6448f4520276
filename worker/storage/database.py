"""How the worker reaches Postgres, and what its errors mean to the worker."""

from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine, event

from registry import postgres

# A worker that is frozen within its transaction must not hold its locks for ever. It is longer than a healthy one may
# sit in a transaction: up to 15 s for the producer to find the dead letters' broker, and 15 s for the acknowledgement.
_PATIENCE: Final = "idle_in_transaction_session_timeout"
_LET_GO: Final = f"SET LOCAL {_PATIENCE} = '60s'"

# What is refused only at COMMIT could not be told from the rest of its chunk. It has no effect on other constraints.
_CHECK_AT_ONCE: Final = "SET CONSTRAINTS ALL IMMEDIATE"

database_problems = partial(postgres.database_problems, "WORKER_DATABASE_URL", rejects_data=True)
"""Turns the driver's errors into ours: the database is away, refuses the data, or is set up wrong."""


def connect(url: str, application: str, connections: int = 1) -> Engine:
    """Make an engine as `registry.postgres.connect` does, whose transactions have the worker's settings.

    Raises:
        ConfigurationError: the URL is not one of Postgres.
    """
    engine = postgres.connect(url, application, connections)
    own = any(_PATIENCE in option for option in engine.url.normalized_query.get("options", ()))
    settings = _CHECK_AT_ONCE if own else f"{_LET_GO}; {_CHECK_AT_ONCE}"

    # In each transaction, since a pooler may give each another session.
    def set_up(connection: Connection) -> None:
        connection.exec_driver_sql(settings)

    event.listen(engine, "begin", set_up)
    return engine

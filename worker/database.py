"""How to reach Postgres, and what its errors mean to us."""

from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from registry import postgres
from worker.errors import Away, ConfigurationError, RejectedData

# A worker that is frozen within its transaction must not hold its locks for ever. It is longer than a healthy one may
# sit in a transaction: up to 15 s for the producer to find the dead letters' broker, and 15 s for the acknowledgement.
_PATIENCE: Final = "idle_in_transaction_session_timeout"
_LET_GO: Final = f"SET LOCAL {_PATIENCE} = '60s'"

_NO_OPTIONS: Final = "unsupported startup parameter"
"""What a pooler says of `options` in a URL; source: PgBouncer's documentation, ignore_startup_parameters."""


class DatabaseAway(Away):
    """It is Postgres that cannot be reached now."""


def connect(url: str, application: str, connections: int = 1) -> Engine:
    """Make an engine for a Postgres URL; libpq's options, such as sslmode, may follow in the URL.

    All of it holds through a pooler such as PgBouncer too, where each transaction may get another session of the
    server: sessions keep no settings and no prepared statements of ours.

    Raises:
        ConfigurationError: the URL is none of Postgres.
    """
    try:
        address = postgres.address(url)
    except postgres.UnusableAddress as error:
        # Not "from error": a trace would show what it could not read, and in it the password.
        raise ConfigurationError(str(error)) from None
    engine = create_engine(
        address,
        pool_size=connections,
        pool_pre_ping=True,
        connect_args={
            "application_name": application,
            "connect_timeout": 10,
            "prepare_threshold": None,
            # A peer that vanished without a word counts as away after half a minute, not after hours.
            "keepalives_idle": 15,
            "tcp_user_timeout": 30_000,
        },
    )
    if not any(_PATIENCE in option for option in address.normalized_query.get("options", ())):
        event.listen(engine, "begin", _let_go)
    return engine


def _let_go(connection: Connection) -> None:
    connection.exec_driver_sql(_LET_GO)


class database_problems:  # noqa: N801 - used as a context manager, like contextlib.suppress.
    """Turn the driver's errors into ours: the database is away, refuses the data, or is set up wrong."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError):
            error = error.orig
        if isinstance(error, psycopg.Error):
            raise _meaning(error) from error


def _meaning(error: psycopg.Error) -> Exception:
    state, said = postgres.state(error), postgres.said(error)
    if _NO_OPTIONS in said:
        return ConfigurationError(
            f"the pooler before Postgres refuses us: {said}. Take that parameter out of WORKER_DATABASE_URL, or let "
            "PgBouncer pass over it: ignore_startup_parameters"
        )
    if postgres.refused(error):
        return ConfigurationError(f"Postgres refuses us: {said}. Check WORKER_DATABASE_URL and that user's rights")
    if postgres.unmigrated(error):
        return ConfigurationError(f"Postgres lacks what the worker needs: {said}. Run `emotion-worker migrate`")
    if state.startswith(postgres.DATA_STATES) or isinstance(error, psycopg.DataError):
        return RejectedData(said)
    away = state.startswith(postgres.AWAY_STATES + postgres.BUSY_STATES)
    if away or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseAway(f"Postgres is away: {said}")
    return error

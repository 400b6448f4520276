"""How to reach Postgres, and what its errors mean to us."""

import re
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from worker.errors import Away, ConfigurationError, RejectedData

# A worker that is frozen within its transaction must not hold its locks for ever. It is longer than a healthy one may
# sit in a transaction: up to 15 s for the producer to find the dead letters' broker, and 15 s for the acknowledgement.
_PATIENCE: Final = "idle_in_transaction_session_timeout"
_LET_GO: Final = f"SET LOCAL {_PATIENCE} = '60s'"

# Classes of SQLSTATE; source: PostgreSQL documentation, appendix A, error codes.
_REFUSED_STATES: Final = ("28", "3D", "42501")
_UNMIGRATED_STATES: Final = ("42P01", "42703")
_DATA_STATES: Final = ("22", "23", "44", "54", "P0")
_AWAY_STATES: Final = ("08", "25", "40", "53", "55", "57", "58")
# Before a connection stands there is no SQLSTATE, only libpq's words. That "SSL" is among them says nothing: it is
# also how a TLS connection ends when the server stops.
_REFUSED_WORDS: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|permission denied"
    r"|not permitted|certificate|does not support SSL|SSL required|no encryption|SSL error: (?!unexpected eof)"
    r"|invalid .* value|invalid connection option"
)
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
    driver_url, replaced = re.subn(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)
    if not replaced:
        raise ConfigurationError("the database URL must begin with postgresql://")
    try:
        address = make_url(driver_url)
    except (ArgumentError, ValueError):
        # Not "from error": it may quote the password.
        raise ConfigurationError("the database URL is not postgresql://user:password@host:port/database") from None
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
    state = error.sqlstate or ""
    said = str(error).strip().split("\n")[0]
    if _NO_OPTIONS in said:
        return ConfigurationError(
            f"the pooler before Postgres refuses us: {said}. Take that parameter out of WORKER_DATABASE_URL, or let "
            "PgBouncer pass over it: ignore_startup_parameters"
        )
    if state.startswith(_REFUSED_STATES) or (not state and _REFUSED_WORDS.search(said)):
        return ConfigurationError(f"Postgres refuses us: {said}. Check WORKER_DATABASE_URL and that user's rights")
    if state in _UNMIGRATED_STATES:
        return ConfigurationError(f"Postgres lacks what the worker needs: {said}. Run `emotion-worker migrate`")
    if state.startswith(_DATA_STATES) or isinstance(error, psycopg.DataError):
        return RejectedData(said)
    if state.startswith(_AWAY_STATES) or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseAway(f"Postgres is away: {said}")
    return error

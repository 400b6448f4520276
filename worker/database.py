"""How to reach Postgres, and what its errors mean to us."""

import re
from typing import Final

import psycopg
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from worker.errors import Away, ConfigurationError, RejectedData

# A worker that is frozen within its transaction must not hold its locks for ever. It is longer than a healthy one may
# sit in a transaction: up to 15 s for the producer to find the dead letters' broker, and 15 s for the acknowledgement.
_LET_GO: Final = "-c idle_in_transaction_session_timeout=60s"

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


def connect(url: str, application: str) -> Engine:
    """Make an engine for a Postgres URL; libpq's options, such as sslmode, may follow in the URL.

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
    return create_engine(
        address,
        pool_size=1,
        pool_pre_ping=True,
        connect_args={
            "application_name": application,
            "connect_timeout": 10,
            "options": _options(address),
            # A peer that vanished without a word counts as away after half a minute, not after hours.
            "keepalives_idle": 15,
            "tcp_user_timeout": 30_000,
        },
    )


def _options(address: URL) -> str:
    """Return the server's settings for our sessions; those of the URL come last, and so count."""
    own = address.query.get("options", ())
    return " ".join([_LET_GO, *((own,) if isinstance(own, str) else own)])


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
    if state.startswith(_REFUSED_STATES) or (not state and _REFUSED_WORDS.search(said)):
        return ConfigurationError(f"Postgres refuses us: {said}. Check WORKER_DATABASE_URL and that user's rights")
    if state in _UNMIGRATED_STATES:
        return ConfigurationError(f"Postgres lacks what the worker needs: {said}. Run `emotion-worker migrate`")
    if state.startswith(_DATA_STATES) or isinstance(error, psycopg.DataError):
        return RejectedData(said)
    if state.startswith(_AWAY_STATES) or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Away(f"Postgres is away: {said}")
    return error

"""Connect to Postgres, and read its errors: the one place that knows its URLs, SQLSTATE and libpq's words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from registry.errors import Away, ConfigurationError, RejectedData

EXAMPLE: Final = "postgresql://user:password@host:5432/database"

_LARGEST_PORT: Final = 65_535

# Classes and codes of SQLSTATE; source: PostgreSQL documentation, appendix A, error codes.
_AWAY_STATES: Final = ("08", "53", "57", "58")
"""The server cannot be reached, or takes nobody now."""

_BUSY_STATES: Final = ("25", "40", "55")
"""The server is there, and would do the statement another time."""

_DATA_STATES: Final = ("22", "23", "44", "54", "P0")
"""The server refuses the data."""

_CANCELLED_STATE: Final = "57014"
_UNTRANSLATABLE_STATE: Final = "22P05"
_REFUSED_STATES: Final = ("28", "3D", "42501")
_UNMIGRATED_STATES: Final = ("42P01", "42703")

# Before a connection stands there is no SQLSTATE, only the words of libpq, the system and a pooler such as PgBouncer.
# That "SSL" is among them says nothing: it is also how a TLS connection ends when the server stops.
_REFUSED_WORDS: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|[Pp]ermission denied"
    r"|no such (?:database|user)|private key file|not permitted|certificate|does not support SSL|SSL required"
    r"|no encryption|SSL error: (?!unexpected eof)|invalid .* value|invalid port number|invalid connection option"
)

_NO_OPTIONS: Final = "unsupported startup parameter"
"""What a pooler says of `options` in a URL; source: PgBouncer's documentation, ignore_startup_parameters."""

_OTHER_HOSTS: Final = "\nMultiple connection attempts failed"
"""What the driver says before it repeats the failures of all hosts in a URL; the last host's stands before."""


class DatabaseAway(Away):
    """Postgres cannot be reached, or is busy with something else; another time it may answer."""


class Cancelled(DatabaseAway):
    """Postgres has cancelled a statement, by its ``statement_timeout`` or because somebody asked for that."""


def connect(url: str, application: str, connections: int = 5) -> Engine:
    """Make an engine for a Postgres URL; nothing is connected yet.

    It works through a pooler such as PgBouncer too, where each transaction may get another session of the server:
    sessions keep no settings and no prepared statements of ours.

    Args:
        url: Postgres URL; libpq's options, such as sslmode, may follow in it.
        application: name that Postgres shows for the connections.
        connections: number of connections that the pool keeps.

    Raises:
        ConfigurationError: the URL is not one of Postgres.
    """
    return create_engine(
        read_url(url),
        pool_size=connections,
        pool_pre_ping=True,
        hide_parameters=True,  # A trace would show what people said.
        connect_args={
            # Else it is the database's own, in which the driver cannot write all that the server can refuse.
            "client_encoding": "utf8",
            "application_name": application,
            "connect_timeout": 10,
            "prepare_threshold": None,
            # A peer that vanished without a word counts as away after half a minute, not after hours.
            "keepalives_idle": 15,
            "tcp_user_timeout": 30_000,
        },
    )


def read_url(url: str) -> URL:
    """Return a Postgres URL as SQLAlchemy takes it; no message quotes any of it, since it holds a password.

    Raises:
        ConfigurationError: the URL is not one of Postgres.
    """
    driver_url, replaced = re.subn(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)
    if not replaced:
        raise ConfigurationError(f"the database URL must begin with postgresql://, as in {EXAMPLE}")
    # What follows the first @ would be taken for a host, and the driver's errors would show that part of a password.
    if url.count("@") > 1:
        raise ConfigurationError(f"the database URL holds more than one @: write %40 for an @ within {EXAMPLE}")
    try:
        address = make_url(driver_url)
    except (ArgumentError, ValueError):
        # Not "from error": it may quote the password.
        raise ConfigurationError(f"the database URL is not of the form {EXAMPLE}") from None
    if address.port is not None and not 0 < address.port <= _LARGEST_PORT:
        raise ConfigurationError(
            f"the database URL's port is not between 1 and {_LARGEST_PORT}: write it as in {EXAMPLE}"
        )
    return address


@contextmanager
def database_problems(setting: str = "TRAINING_DATABASE_URL", *, rejects_data: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours; those that nobody outside can put right pass.

    Args:
        setting: name of the setting that holds the URL, for messages.
        rejects_data: whether the caller can do without data that Postgres refuses. Then any other error of a
            driver's call, such as an OSError, is read too.

    Raises:
        DatabaseAway: Postgres cannot be reached, or is busy.
        ConfigurationError: Postgres refuses us, or lacks the tables.
        RejectedData: Postgres refuses the data; only with `rejects_data`.
    """
    try:
        yield
    except (StatementError, psycopg.Error, PoolTimeout, OSError, UnicodeError) as error:
        cause = error.orig if isinstance(error, StatementError) and error.orig else error
        ours = None
        if isinstance(cause, psycopg.Error):
            ours = _meaning(cause, setting, rejects_data)
        elif rejects_data:
            ours = _meaning_of_others(cause)
        if ours is None:
            raise
        raise ours from cause


def _meaning(error: psycopg.Error, setting: str, rejects_data: bool) -> Exception | None:
    state, message = sqlstate(error), first_message(error)
    if refusal := _refusal(state, message, setting):
        return refusal
    if state.startswith(_DATA_STATES) or isinstance(error, psycopg.DataError):
        if rejects_data:
            return RejectedData(message)
        if state == _UNTRANSLATABLE_STATE:
            return ConfigurationError("the database's encoding has no such character: move to one WITH ENCODING 'UTF8'")
        return None
    away = state.startswith(_AWAY_STATES + _BUSY_STATES)
    if away or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        kind = Cancelled if state == _CANCELLED_STATE else DatabaseAway
        return kind(f"Postgres is away: {message}. Start it, or check the address in {setting}")
    return None


def _refusal(state: str, message: str, setting: str) -> ConfigurationError | None:
    """Return what an error means that no waiting and no other data would help."""
    if _NO_OPTIONS in message:
        return ConfigurationError(
            f"the pooler before Postgres refuses us: {message}. Take that parameter out of {setting}, or let "
            "PgBouncer pass over it: ignore_startup_parameters"
        )
    if state.startswith(_REFUSED_STATES) or (not state and _REFUSED_WORDS.search(message)):
        return ConfigurationError(f"Postgres refuses us: {message}. Check {setting} and that user's rights")
    if state in _UNMIGRATED_STATES:
        return ConfigurationError(f"Postgres lacks a table or a column: {message}. Run `emotion-worker migrate`")
    return None


def _meaning_of_others(error: BaseException) -> Exception | None:
    """Return what an error means that comes out of a driver's call and is none of the driver's own classes."""
    match error:
        case UnicodeEncodeError():
            return RejectedData(f"Postgres takes {error.encoding}, in which a text cannot be written: {error.reason}")
        case UnicodeDecodeError():
            return ConfigurationError(
                f"Postgres answers with what is no {error.encoding}: {error.reason}. Move to a database WITH ENCODING "
                "'UTF8'"
            )
        case TimeoutError() | PoolTimeout():
            return DatabaseAway("Postgres is away: no connection was free in time")
        case OSError(filename=None):  # An error of a file names it.
            return DatabaseAway(f"Postgres is away: {error.strerror or type(error).__name__}")
    return None


def sqlstate(error: psycopg.Error) -> str:
    """Return the SQLSTATE; empty before a connection stands."""
    return error.sqlstate or ""


def first_message(error: psycopg.Error) -> str:
    """Return the line of Postgres's message that tells the cause: the first, as those that follow may quote data.

    Before a connection stands, each address of a host has its lines, such as both of localhost: a refusal counts most.
    """
    lines = str(error).strip().partition(_OTHER_HOSTS)[0].split("\n")
    if sqlstate(error) or not isinstance(error, psycopg.OperationalError):
        return lines[0]
    return next(filter(_REFUSED_WORDS.search, lines), lines[0])

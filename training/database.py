"""How the training job reaches Postgres, and what its errors mean to whoever runs it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from training.errors import TrainingError

_VARIABLES: Final = ("TRAINING_DATABASE_URL", "WORKER_DATABASE_URL")
_EXAMPLE: Final = "postgresql://user:password@host:5432/database"

# SQLSTATE, and before a connection stands, where there is none, libpq's words; source: PostgreSQL documentation,
# appendix A, error codes.
_REFUSED_STATES: Final = ("28", "3D", "42501")
_REFUSED_WORDS: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|permission denied|certificate"
    r"|does not support SSL|invalid .* value|invalid connection option"
)
_UNMIGRATED_STATES: Final = ("42P01", "42703")
_AWAY_STATES: Final = ("08", "53", "57", "58")


class UnusableDatabase(TrainingError):
    """Postgres cannot be reached, refuses us, or lacks the tables."""


class DatabaseAway(UnusableDatabase):
    """Postgres cannot be reached; it may be another time."""


def connect(url: str | None = None) -> Engine:
    """Make an engine for a Postgres URL; nothing is connected yet.

    Args:
        url: None takes TRAINING_DATABASE_URL from the environment, or else WORKER_DATABASE_URL. libpq's options, such
            as sslmode, may follow in it.

    Raises:
        UnusableDatabase: there is no URL, or it is none of Postgres.
    """
    url = url or next(filter(None, map(os.environ.get, _VARIABLES)), None)
    if not url:
        raise UnusableDatabase(f"set {_VARIABLES[0]} to the database's address, {_EXAMPLE}")
    driver_url, replaced = re.subn(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)
    if not replaced:
        raise UnusableDatabase(f"the database URL must begin with postgresql://, as in {_EXAMPLE}")
    try:
        address = make_url(driver_url)
    except (ArgumentError, ValueError):
        # Not "from error": it may quote the password.
        raise UnusableDatabase(f"the database URL is not of the form {_EXAMPLE}") from None
    # Prepared statements would not survive a pooler such as PgBouncer.
    options = {"application_name": "emotion-training", "connect_timeout": 10, "prepare_threshold": None}
    return create_engine(address, pool_pre_ping=True, connect_args=options)


@contextmanager
def database_problems() -> Iterator[None]:
    """Turn those of the driver's errors that the user can put right into one line; the others pass.

    Raises:
        DatabaseAway: Postgres is away.
        UnusableDatabase: it refuses us, or lacks the tables.
    """
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.Error) or not (meaning := _meaning(cause)):
            raise
        raise meaning from error


def _meaning(error: psycopg.Error) -> UnusableDatabase | None:
    state = error.sqlstate or ""
    said = str(error).strip().split("\n")[0]
    if state.startswith(_REFUSED_STATES) or (not state and _REFUSED_WORDS.search(said)):
        return UnusableDatabase(f"Postgres refuses us: {said}. Check TRAINING_DATABASE_URL and that user's rights")
    if state in _UNMIGRATED_STATES:
        return UnusableDatabase(f"Postgres lacks what training needs: {said}. Run `emotion-worker migrate`")
    if state.startswith(_AWAY_STATES) or (not state and isinstance(error, psycopg.OperationalError)):
        return DatabaseAway(f"Postgres is away: {said}. Start it, or check the address in TRAINING_DATABASE_URL")
    return None

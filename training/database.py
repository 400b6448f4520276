"""How the training job reaches Postgres, and what its errors mean to whoever runs it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from registry import postgres
from training.errors import TrainingError

_VARIABLES: Final = ("TRAINING_DATABASE_URL", "WORKER_DATABASE_URL")


class UnusableDatabase(TrainingError):
    """Postgres cannot be reached, refuses us, or lacks the tables."""


class DatabaseAway(UnusableDatabase):
    """Postgres cannot be reached, or is busy with something else; it may be another time."""


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
        raise UnusableDatabase(f"set {_VARIABLES[0]} to the database's address, {postgres.EXAMPLE}")
    try:
        address = postgres.address(url)
    except postgres.UnusableAddress as error:
        # Not "from error": a trace would show what it could not read, and in it the password.
        raise UnusableDatabase(str(error)) from None
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
    state, said = postgres.state(error), postgres.said(error)
    if postgres.refused(error):
        return UnusableDatabase(f"Postgres refuses us: {said}. Check TRAINING_DATABASE_URL and that user's rights")
    if postgres.unmigrated(error):
        return UnusableDatabase(f"Postgres lacks what training needs: {said}. Run `emotion-worker migrate`")
    away = state.startswith(postgres.AWAY_STATES + postgres.BUSY_STATES)
    if away or (not state and isinstance(error, psycopg.OperationalError)):
        return DatabaseAway(f"Postgres is away: {said}. Start it, or check the address in TRAINING_DATABASE_URL")
    return None

"""How training reaches Postgres."""

from typing import Final

from sqlalchemy import Connection, Engine, text

from registry import postgres
from registry.errors import ConfigurationError
from registry.lifecycle import find
from registry.versions import ModelVersion
from training.environment import Environment

# The server, the database and the table: tables that were dropped and made again begin to count their runs again.
_IDENTITY: Final = """
SELECT concat_ws('/', system_identifier, pg_database.oid, 'training_runs'::regclass::oid)
FROM pg_control_system(), pg_database WHERE datname = current_database()
"""


def connect(url: str | None = None) -> Engine:
    """Make an engine as `registry.postgres.connect` does.

    Args:
        url: Postgres URL; None takes that of the settings.

    Raises:
        ConfigurationError: there is no URL, or it is not one of Postgres; or a setting is unknown.
    """
    url = url or Environment.load().url
    if not url:
        name = Environment.variable("database_url")
        raise ConfigurationError(f"set {name} to the database's address, {postgres.EXAMPLE}")
    return postgres.connect(url, "emotion-training")


def find_version(name: str) -> ModelVersion:
    """Return the version of a name that is no bundle's folder.

    Raises:
        UnusableVersion: there is none.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    try:
        engine = connect()
    except ConfigurationError as error:
        raise ConfigurationError(f"{name} is no bundle's folder, and no version can be looked up: {error}") from error
    return find(engine, name)


def identity(connection: Connection) -> str:
    """Return the identity of a database: no other has it, wherever it is, and it changes where a dump is restored."""
    name: str = connection.execute(text(_IDENTITY)).scalar_one()
    return name

"""Bring the database to the tables that this version works with."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

import migrations
from worker.database import connect, database_problems
from worker.errors import ConfigurationError

_LOCK: Final = 0x656D6F74
"""Key of the advisory lock under which one process at a time migrates: the letters "emot"."""


def migrate(database_url: str) -> None:
    """Upgrade to the newest tables, all or nothing, from any working directory; of several at once, one does the work.

    Args:
        database_url: begins with postgresql:// or postgresql+psycopg://.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the database refuses us, or a newer version has migrated it already.
    """
    _run(database_url, lambda config: command.upgrade(config, "head"))


def downgrade(database_url: str, revision: str = "base") -> None:
    """Go back to an older revision; tables that it does not have are dropped with their rows.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the database refuses us, or a newer version has migrated it.
    """
    _run(database_url, lambda config: command.downgrade(config, revision))


def require_migrated(engine: Engine) -> None:
    """Make sure that the tables are those of this version.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: a migration is missing, or one is there that this version does not know; or the
            database refuses us.
    """
    with database_problems(), engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    _require_known(current, scripts)
    newest = scripts.get_current_head()
    if current != newest:
        raise ConfigurationError(
            f"the database lacks migration {newest}, it is at {current or 'none'}: run `emotion-worker migrate`"
        )


def _require_known(current: str | None, scripts: ScriptDirectory) -> None:
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigurationError(
            f"the database is at migration {current}, which this version does not know: a newer version has migrated "
            f"it. Deploy that version, or let it go back to {scripts.get_current_head()} first (docs/runbook.md)"
        )


def _run(database_url: str, action: Callable[[Config], None]) -> None:
    engine = connect(database_url, "emotion-migrate")
    config = _config()
    try:
        # One transaction for all: a lock that outlives it would stay in a pooler's session, and stop the next of us.
        with database_problems(), engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            current = MigrationContext.configure(connection).get_current_revision()
            _require_known(current, ScriptDirectory.from_config(config))
            config.attributes["connection"] = connection
            action(config)
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config

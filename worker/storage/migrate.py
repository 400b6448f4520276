"""Bring the database to the tables that this version works with."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text

import migrations
from registry.postgres import DatabaseAway
from worker.backoff import pauses
from worker.errors import ConfigurationError, RejectedData
from worker.storage.database import connect, database_problems
from worker.storage.indexes import build_indexes
from worker.storage.roles import become_owner, grant, make_roles

log = structlog.get_logger(__name__)

_LOCK: Final = 0x656D6F74
"""Key of the advisory lock under which one process at a time migrates: the letters "emot"."""

_LOCK_TIMEOUT_MS: Final = 5_000
"""Longest wait for a table's lock: whoever comes later waits behind this wait, the workers too."""

_PATIENCE_S: Final = 600.0
"""How long a migration tries for its locks."""

_USABLE: Final = "tables for code of revision {} and newer"
"""Comment on alembic_version: the oldest code that can use the tables. Older code reads it too."""

_NONE: Final = "base"
"""Alembic's name for a database before the first revision."""


def migrate(database_url: str) -> None:
    """Upgrade to the newest tables, all or nothing, from any working directory; of several at once, one does the work.

    Indexes that a revision leaves for later are made after that, while workers write.

    Args:
        database_url: begins with postgresql:// or postgresql+psycopg://.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the database refuses us, cannot hold Russian, or a newer version has migrated it to tables
            that this version cannot use.
    """
    _run(database_url, lambda config, _: command.upgrade(config, "head"), newer_is_fine=True)


def migrate_to(database_url: str, revision: str) -> None:
    """Upgrade to a revision, or go back to it; tables and columns that it does not have are dropped.

    Args:
        database_url: begins with postgresql:// or postgresql+psycopg://.
        revision: number of the revision, such as 0004, or base for none.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: there is no such revision, or as `migrate`.
    """
    upwards = _revisions(ScriptDirectory.from_config(_config()))
    if revision not in {_NONE, *upwards}:
        raise ConfigurationError(f"there is no revision {revision}: take one of {', '.join([_NONE, *upwards])}")

    def move(config: Config, current: str | None) -> None:
        newer = upwards[upwards.index(current) + 1 :] if current else upwards
        (command.upgrade if revision in newer else command.downgrade)(config, revision)

    _run(database_url, move)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Go back to an older revision; tables that it does not have are dropped with their rows.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the database refuses us, or a newer version has migrated it.
    """
    _run(database_url, lambda config, _: command.downgrade(config, revision))


def apply_roles(database_url: str, passwords: Mapping[str, str]) -> None:
    """Make the roles of `schemas.access` and let each do what it may; done twice, it changes nothing.

    Args:
        database_url: names a user that may create roles, and that owns the tables or is a superuser.
        passwords: by role; a role that is not named keeps its own.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: the database refuses us, or a newer version has migrated it.
    """
    _run(database_url, lambda config, _: make_roles(config.attributes["connection"], passwords), newer_is_fine=True)


def require_migrated(engine: Engine) -> None:
    """Make sure that this version can use the tables: its own, or newer ones that only add to them.

    Raises:
        Away: the database cannot be reached.
        ConfigurationError: a migration is missing, or a newer one left tables that this version cannot use; or the
            database refuses us.
    """
    with database_problems(), engine.connect() as connection:
        _require_cyrillic(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        scripts = ScriptDirectory.from_config(_config())
        if _is_newer_and_usable(current, connection, scripts):
            log.info("the database is newer than this version, which can use it", revision=current)
            return
    _require_known(current, scripts)
    newest = scripts.get_current_head()
    if current != newest:
        raise ConfigurationError(
            f"the database lacks migration {newest}, it is at {current or 'none'}: run `emotion-worker migrate`"
        )


def _require_cyrillic(connection: Connection) -> None:
    """Make sure that the database's encoding has Cyrillic letters, and that the database knows what they are.

    Raises:
        ConfigurationError: it has none, or is SQL_ASCII, which takes any bytes for text.
    """
    encoding = connection.scalar(text("SHOW server_encoding"))
    try:
        with database_problems():
            connection.execute(text("SELECT 'ё'"))
        known = encoding != "SQL_ASCII"
    except RejectedData:
        known = False
    if not known:
        raise ConfigurationError(
            f"the database's encoding {encoding} has no Cyrillic letters: create one WITH ENCODING 'UTF8' TEMPLATE "
            "template0"
        )


def _require_known(current: str | None, scripts: ScriptDirectory) -> None:
    if current is not None and current not in _revisions(scripts):
        raise ConfigurationError(
            f"the database is at migration {current}, which this version does not know: a newer version has migrated "
            f"it. Deploy that version, or let it go back to {scripts.get_current_head()} first (docs/runbook.md)"
        )


def _is_newer_and_usable(current: str | None, connection: Connection, scripts: ScriptDirectory) -> bool:
    """Return whether a newer version has migrated the database to tables that this version can use."""
    known = _revisions(scripts)
    if current is None or current in known:
        return False
    comment = connection.scalar(text("SELECT obj_description('alembic_version'::regclass)")) or ""
    told = re.fullmatch(_USABLE.format("(.+)"), comment)
    return told is not None and told[1] in known


def _tell_oldest_code(connection: Connection, scripts: ScriptDirectory) -> None:
    """Write the oldest code that can use the tables to where every version reads it."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        return
    applied = scripts.iterate_revisions(current, _NONE)
    oldest = max(getattr(script.module, "oldest_code", script.revision) for script in applied)
    connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{_USABLE.format(oldest)}'"))


def _run(database_url: str, action: Callable[[Config, str | None], None], *, newer_is_fine: bool = False) -> None:
    engine = connect(database_url, "emotion-migrate")
    waits, until = pauses(), time.monotonic() + _PATIENCE_S
    try:
        while True:
            try:
                _try_once(engine, action, newer_is_fine=newer_is_fine)
                _index_once(engine)
            except DatabaseAway as error:
                if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > until:
                    raise
                pause_s = next(waits)
                log.warning("others hold locks that the migration needs; trying again", in_seconds=round(pause_s, 2))
                time.sleep(pause_s)
            else:
                return
    finally:
        engine.dispose()


def _try_once(engine: Engine, action: Callable[[Config, str | None], None], *, newer_is_fine: bool) -> None:
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    # One transaction for all: a lock that outlives it would stay in a pooler's session, and stop the next of us.
    with database_problems(), engine.begin() as connection:
        _require_cyrillic(connection)
        _lock(connection)
        current = MigrationContext.configure(connection).get_current_revision()
        if newer_is_fine and _is_newer_and_usable(current, connection, scripts):
            log.info("the database is newer than this version, which can use it: nothing to do", revision=current)
            return
        _require_known(current, scripts)
        config.attributes["connection"] = connection
        become_owner(connection)
        action(config, current)
        become_owner(connection)
        _tell_oldest_code(connection, scripts)
        grant(connection)


def _index_once(engine: Engine) -> None:
    """Make the indexes that the applied revisions leave for later."""
    scripts = ScriptDirectory.from_config(_config())
    # The lock has a transaction of its own, which holds up no index: between statements it looks at no rows.
    with database_problems(), engine.begin() as guard:
        _lock(guard)
        current = MigrationContext.configure(guard).get_current_revision()
        # Without parameters, else the driver leaves a portal open, whose snapshot the index would wait for.
        guard.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        if current in _revisions(scripts):
            with engine.connect() as connection:
                applied = list(scripts.iterate_revisions(current, _NONE))[::-1]
                build_indexes(connection.execution_options(isolation_level="AUTOCOMMIT"), applied)


def _lock(connection: Connection) -> None:
    """Wait until no other process migrates, and give up on locks of tables soon."""
    connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _revisions(scripts: ScriptDirectory) -> list[str]:
    """Return the revisions that this version knows, the oldest first."""
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config

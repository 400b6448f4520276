"""Indexes that are made while workers write, which takes a statement outside of any transaction."""

from typing import Any, Final

import structlog
from alembic.script import Script
from sqlalchemy import Connection, text

log = structlog.get_logger(__name__)

_VALID: Final = text("""
    SELECT name, (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(name))
    FROM unnest(CAST(:names AS text[])) AS name
""")


def build_indexes(connection: Connection, revisions: list[Script]) -> None:
    """Make the indexes that revisions name as `concurrent_indexes`, and drop their `dropped_indexes`.

    A build that was interrupted leaves an invalid index, which is made again.

    Args:
        connection: SQLAlchemy connection in autocommit.
        revisions: Alembic's scripts that were applied, the oldest first.

    Raises:
        psycopg.Error: the database refuses, or cannot be reached.
    """
    wanted: dict[str, str | None] = {}
    for script in revisions:
        module: Any = script.module
        wanted |= dict.fromkeys(getattr(module, "dropped_indexes", ())) | getattr(module, "concurrent_indexes", {})
    valid: dict[str, bool | None] = dict(connection.execute(_VALID, {"names": list(wanted)}).all())
    for name, definition in wanted.items():
        if definition and not valid[name]:
            log.info("making an index; workers go on meanwhile", index=name)
            _drop(connection, name)
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {name} {definition}")
    for name, definition in wanted.items():
        if not definition and valid[name] is not None:
            _drop(connection, name)


def _drop(connection: Connection, name: str) -> None:
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")

"""The database's roles: made once by whoever may make roles, and granted what `schemas.access` says at each migration.

There are no default privileges: each role would get those on every later table. A migration grants in its own
transaction what its tables are for.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from schemas.access import ACCESS, FUNCTIONS, MIGRATOR, READER, ROLES, TRAINER, WORKER, Access

_OWNER: Final = text("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(:name)")

_FUNCTION_OWNER: Final = text("SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = to_regprocedure(:name)")

_COLUMNS: Final = text("""
    SELECT quote_ident(attname) FROM pg_attribute
    WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped AND attname <> ALL (:words)
    ORDER BY attnum
""")

_SEQUENCES: Final = text("""
    SELECT objid::regclass::text FROM pg_depend JOIN pg_class ON pg_class.oid = objid AND relkind = 'S'
    WHERE refobjid = to_regclass(:name) AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
""")


def become_owner(connection: Connection) -> None:
    """Work as the owner of the tables until the transaction ends, so that new tables are that role's, whoever migrates.

    Nothing happens in a database that has no roles of ours.
    """
    if _has_roles(connection):
        connection.execute(text(f"SET LOCAL ROLE {MIGRATOR}"))


def make_roles(connection: Connection, passwords: Mapping[str, str]) -> None:
    """Make the roles that are missing, give them passwords and the tables to their owner.

    Args:
        connection: SQLAlchemy connection of a superuser, or of the tables' owner that may create roles.
        passwords: by role; a role that is not named keeps its own.
    """
    connection.execute(text("SET LOCAL ROLE NONE"))  # The tables' owner may make no roles.
    for role in ROLES:
        if not connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :role"), {"role": role}):
            connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        if password := passwords.get(role):
            connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD '{_hashed(connection, role, password)}'")
    if not connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        connection.execute(text(f"GRANT {MIGRATOR} TO CURRENT_USER"))
    database, schema = connection.execute(
        text("SELECT quote_ident(current_database()), quote_ident(current_schema())")
    ).one()
    for statement in (
        f"GRANT CONNECT ON DATABASE {database} TO {', '.join(ROLES)}",
        f"GRANT TEMPORARY ON DATABASE {database} TO {WORKER}, {TRAINER}",
        f"GRANT USAGE ON SCHEMA {schema} TO {', '.join(ROLES)}",
        f"GRANT CREATE ON SCHEMA {schema} TO {MIGRATOR}",
    ):
        connection.execute(text(statement))
    for name in ACCESS:
        if connection.scalar(_OWNER, {"name": name}) not in {None, MIGRATOR}:
            connection.execute(text(f"ALTER TABLE {name} OWNER TO {MIGRATOR}"))
    for name in FUNCTIONS:
        if connection.scalar(_FUNCTION_OWNER, {"name": name}) not in {None, MIGRATOR}:
            connection.execute(text(f"ALTER FUNCTION {name} OWNER TO {MIGRATOR}"))


def grant(connection: Connection) -> None:
    """Let each role do what it may, and no more, with each table and view that there is.

    Nothing happens in a database that has no roles of ours.
    """
    if not _has_roles(connection):
        return
    for name, access in ACCESS.items():
        if connection.scalar(_OWNER, {"name": name}):
            _grant(connection, name, access)


def _grant(connection: Connection, name: str, access: Access) -> None:
    sequences = connection.scalars(_SEQUENCES, {"name": name}).all()
    connection.execute(text(f"REVOKE ALL ON {name} FROM {WORKER}, {TRAINER}, {READER}"))
    for role, privileges in access.privileges().items():
        if not privileges:
            continue
        columns = ""
        if role == READER and access.words:
            columns = f" ({', '.join(connection.scalars(_COLUMNS, {'name': name, 'words': list(access.words)}))})"
        connection.execute(text(f"GRANT {privileges}{columns} ON {name} TO {role}"))
        for sequence in sequences if "INSERT" in privileges else ():
            connection.execute(text(f"GRANT USAGE ON SEQUENCE {sequence} TO {role}"))


def _has_roles(connection: Connection) -> bool:
    return bool(connection.scalar(_OWNER, {"name": "alembic_version"}) == MIGRATOR)


def _hashed(connection: Connection, role: str, password: str) -> str:
    """Return what Postgres keeps of a password; so neither its log nor its statistics hold the password."""
    driver: Any = connection.connection.driver_connection
    hashed: bytes = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return hashed.decode()

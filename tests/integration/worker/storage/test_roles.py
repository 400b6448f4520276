"""Each program's role may do what its commands do, and nothing that they do not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from services import ROLE_PASSWORDS, Postgres, as_role
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ProgrammingError

from schemas.access import ACCESS, FUNCTIONS, MIGRATOR, READER, ROLES, TRAINER, WORKER
from schemas.tables import metadata
from worker.errors import ConfigurationError
from worker.storage.migrate import apply_roles, migrate, migrate_to, require_migrated


@pytest.fixture
def connect_as(postgres_url: str) -> Iterator[Callable[[str], Connection]]:
    """Connects as a role; each statement is a transaction, for an open one holds up the migrations' indexes."""
    open_ones = []

    def connect(role: str) -> Connection:
        connection = create_engine(as_role(postgres_url, role), isolation_level="AUTOCOMMIT").connect()
        open_ones.append(connection)
        return connection

    yield connect
    for connection in open_ones:
        connection.close()
        connection.engine.dispose()


def require_usable(url: str) -> None:
    engine = create_engine(url)
    require_migrated(engine)
    engine.dispose()


def relations(connection: Connection) -> set[str]:
    """All tables and views of the database."""
    kinds = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')"
    return set(connection.scalars(text(f"SELECT relname FROM pg_class WHERE {kinds}")))  # noqa: S608 - ours.


def granted(connection: Connection) -> dict[tuple[str, str], set[str]]:
    """What each role but the owner may do, by role and table; on some columns counts as well."""
    query = """
        SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
        WHERE grantee LIKE 'emotions%' AND grantee <> :owner
        UNION SELECT grantee, table_name, privilege_type FROM information_schema.role_column_grants
        WHERE grantee LIKE 'emotions%' AND grantee <> :owner
    """
    found: dict[tuple[str, str], set[str]] = {}
    for role, table, privilege in connection.execute(text(query), {"owner": MIGRATOR}):
        found.setdefault((role, table), set()).add(privilege)
    return found


def test_every_table_and_view_has_a_line_that_says_who_may_do_what(connect_as: Callable[[str], Connection]) -> None:
    there = relations(connect_as(MIGRATOR))
    assert there >= metadata.tables.keys()
    assert there == ACCESS.keys(), "say in schemas/access.py who may do what with a new table or view"


def test_every_function_is_known_and_the_migrators(connect_as: Callable[[str], Connection]) -> None:
    query = "SELECT oid::regprocedure::text, pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = "
    found = dict(connect_as(MIGRATOR).execute(text(query + "'public'::regnamespace")).all())
    name = text("SELECT CAST(CAST(:name AS regprocedure) AS text)")
    known = [connect_as(MIGRATOR).scalar(name, {"name": function}) for function in FUNCTIONS]
    assert found == dict.fromkeys(known, MIGRATOR), "name a new function in schemas/access.py"


def test_what_is_granted_is_what_is_decided(connect_as: Callable[[str], Connection]) -> None:
    decided = {
        (role, table): set(privileges.split(", "))
        for table, access in ACCESS.items()
        for role, privileges in access.privileges().items()
        if privileges
    }
    assert granted(connect_as(MIGRATOR)) == decided


def test_the_migrator_owns_all_and_is_all_that_migrations_need(
    postgres_url: str, connect_as: Callable[[str], Connection]
) -> None:
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert list(connect_as(MIGRATOR).scalars(text(owners))) == [MIGRATOR]
    connect_as(MIGRATOR).connection.close()
    before = granted(connect_as(MIGRATOR))
    migrate_to(as_role(postgres_url, MIGRATOR), "0004")
    migrate(as_role(postgres_url, MIGRATOR))
    assert granted(connect_as(MIGRATOR)) == before, "tables that were made again are granted again"


def test_tables_are_the_migrators_whoever_migrates(postgres_url: str, connect_as: Callable[[str], Connection]) -> None:
    before = granted(connect_as(MIGRATOR))
    migrate_to(postgres_url, "0001")
    migrate(postgres_url)
    owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert list(connect_as(MIGRATOR).scalars(text(owners))) == [MIGRATOR]
    assert granted(connect_as(MIGRATOR)) == before


def test_roles_are_applied_again_without_harm(postgres_url: str) -> None:
    apply_roles(postgres_url, {})
    for role in ROLES:
        require_usable(as_role(postgres_url, role))


def test_a_user_that_may_create_roles_applies_them_without_being_a_superuser(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE ROLE admin LOGIN CREATEROLE PASSWORD 'hunter2'")
    own_postgres.execute("GRANT CREATE ON SCHEMA public TO admin WITH GRANT OPTION")
    for table in ACCESS:
        own_postgres.execute(f"ALTER TABLE {table} OWNER TO admin")
    for function in FUNCTIONS:
        own_postgres.execute(f"ALTER FUNCTION {function} OWNER TO admin")
    admin = own_postgres.url().replace("postgres@/", "admin:hunter2@/")
    apply_roles(admin, ROLE_PASSWORDS)
    migrate_to(admin, "0005")
    migrate(as_role(own_postgres.url(), MIGRATOR))
    require_usable(as_role(own_postgres.url(), WORKER))


@pytest.mark.usefixtures("migrated_database")
def test_a_database_without_roles_is_migrated_as_ever(session_postgres: Postgres) -> None:
    """Roles are of the whole server: those of another database on it are none of ours."""
    name = session_postgres.create_database()
    migrate(session_postgres.url(name))
    engine = create_engine(session_postgres.url(name))
    with engine.connect() as connection:
        assert granted(connection) == {}
    engine.dispose()
    session_postgres.drop_database(name)


def test_a_password_stands_in_no_statement(postgres_url: str) -> None:
    said: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    apply_roles(postgres_url, ROLE_PASSWORDS)
    event.remove(Engine, "before_cursor_execute", note)
    assert sum("PASSWORD 'SCRAM-SHA-256$" in statement for statement in said) == len(ROLES)
    assert not any("it's" in statement for statement in said)


REFUSED = {
    WORKER: [
        "SELECT text FROM labelled_texts",
        "DELETE FROM labelled_texts",
        "UPDATE model_versions SET state = 'champion'",
        "INSERT INTO training_runs (state) VALUES ('running')",
        "DELETE FROM consumer_offsets",
        "DELETE FROM erasures",
        "DROP TABLE emotion_results",
        "TRUNCATE emotion_results",
        "ALTER TABLE emotion_results ADD COLUMN mine text",
        "CREATE TABLE mine (id int)",
    ],
    TRAINER: [
        "UPDATE emotion_results SET text = ''",
        "DELETE FROM emotion_results",
        "INSERT INTO shadow_results SELECT * FROM shadow_results",
        "DELETE FROM forgotten_labels",
        "UPDATE forgotten_labels SET labels = 0",
        "DELETE FROM training_runs",
        "SELECT * FROM consumer_offsets",
        "CREATE TABLE mine (id int)",
    ],
    READER: [
        "SELECT text FROM labelled_texts",
        "SELECT annotator FROM labelled_texts",
        "SELECT * FROM forgotten_labels",
        "UPDATE emotion_results SET emotions = '{}'",
        "INSERT INTO training_runs (state) VALUES ('running')",
        "CREATE TABLE mine (id int)",
    ],
    MIGRATOR: [
        "CREATE ROLE mine",
        "ALTER ROLE emotions_worker PASSWORD 'mine'",
    ],
}


@pytest.mark.parametrize(("role", "statement"), [(role, each) for role, all_ in REFUSED.items() for each in all_])
def test_a_role_is_refused_what_it_must_not_do(
    role: str, statement: str, connect_as: Callable[[str], Connection]
) -> None:
    with pytest.raises(ProgrammingError) as raised:
        connect_as(role).execute(text(statement))
    error: Any = raised.value.orig
    assert error.sqlstate == "42501"


def test_whoever_may_make_no_roles_is_told_so(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Postgres refuses us: .* Check WORKER_DATABASE_URL and that user's"):
        apply_roles(as_role(postgres_url, MIGRATOR), ROLE_PASSWORDS)

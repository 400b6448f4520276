"""The services that tests ask for by name; each starts when the first test needs it."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from broker import PASSWORD, USERNAME, KafkaBroker, alone
from certificates import Certificate, make_certificate
from cluster import KafkaCluster
from launchers import INSTALL, Launcher, find_launcher
from replication import ReplicatedPostgres, run_replicated_postgres
from services import (
    PATIENCE_S,
    ROLE_PASSWORDS,
    Postgres,
    SecureKafka,
    TlsPostgres,
    create_topic,
    run_postgres,
)
from tls_front import tls_front

from worker.storage.migrate import apply_roles, migrate

# Before torch is imported, and for all processes that tests start: networks as small as those of tests are faster on
# one thread, by far so where the cores are busy otherwise.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No example is late, and each run draws the same ones: `--hypothesis-profile=others` draws others.
hypothesis.settings.register_profile(
    "others", deadline=None, derandomize=False, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("same", hypothesis.settings.get_profile("others"), derandomize=True)
hypothesis.settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Apache Kafka, so that `-m "not kafka"` leaves it out."""
    for item in items:
        if {"kafka", "kafka_launcher"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def kafka_launcher() -> Launcher:
    """Starts Apache Kafka; where nothing can, the tests that need it are skipped, and fail in CI."""
    launcher = find_launcher()
    if launcher is None:
        complain = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        complain(INSTALL)
    return launcher


@pytest.fixture(scope="session")
def session_broker(
    kafka_launcher: Launcher, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaBroker]:
    """The node that all tests share; none may stop it, so it may be silent for minutes on a busy machine."""
    place = alone(session_ms=PATIENCE_S * 1000)
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), kafka_launcher, certificate, place) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """Bootstrap address of an Apache Kafka: TEST_KAFKA's, or one of our own."""
    given = os.environ.get("TEST_KAFKA")
    if given:
        return given
    broker: KafkaBroker = request.getfixturevalue("session_broker")
    return broker.bootstrap


@pytest.fixture
def topic(kafka: str) -> str:
    """A new topic of four partitions; `dead_letters_of` names the topic of its dead letters."""
    return create_topic(kafka)


@pytest.fixture(scope="session")
def mortal_broker(kafka_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """The node of `own_broker`: a new one for each test would take seconds to start."""
    with KafkaBroker(tmp_path_factory.mktemp("mortal"), kafka_launcher) as broker:
        yield broker


@pytest.fixture
def own_broker(mortal_broker: KafkaBroker) -> KafkaBroker:
    """A running broker, to stop, kill, freeze and start again; topics of earlier tests may lie on it."""
    if not mortal_broker.running:
        mortal_broker.start()
    return mortal_broker


@pytest.fixture(scope="session")
def mortal_cluster(kafka_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """The nodes of `cluster`."""
    with KafkaCluster(tmp_path_factory.mktemp("cluster"), kafka_launcher, nodes=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(mortal_cluster: KafkaCluster) -> KafkaCluster:
    """Two running nodes, of which the second may be killed, frozen and started again; topics may lie on them."""
    mortal_cluster.start()
    return mortal_cluster


@pytest.fixture(scope="session")
def secure_kafka(session_broker: KafkaBroker, certificate: Certificate) -> SecureKafka:
    """A broker's SASL_SSL listener."""
    return SecureKafka(session_broker.secure_bootstrap, USERNAME, PASSWORD, certificate.certificate)


@pytest.fixture
def secure_topic(session_broker: KafkaBroker) -> str:
    """A new topic on the broker of `secure_kafka`."""
    return create_topic(session_broker.bootstrap)


@pytest.fixture(scope="session")
def session_postgres() -> Iterator[Postgres]:
    """The server that all tests share; none may stop it."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_database(session_postgres: Postgres) -> str:
    """A database at the newest migration, with the programs' roles, for `postgres_url` to copy."""
    name = session_postgres.create_database()
    migrate(session_postgres.url(name))
    apply_roles(session_postgres.url(name), ROLE_PASSWORDS)
    return name


@pytest.fixture
def postgres_url(session_postgres: Postgres, migrated_database: str) -> Iterator[str]:
    """A database of the test's own, with all tables and no rows, as a superuser; `as_role` gives those of the roles."""
    name = session_postgres.create_database(template=migrated_database)
    yield session_postgres.url(name)
    session_postgres.drop_database(name)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server of the test's own, to stop, kill and start again; `url()` has all tables and no rows."""
    with run_postgres() as server:
        migrate(server.url())
        yield server


@pytest.fixture
def replicated_postgres() -> Iterator[ReplicatedPostgres]:
    """A server of the test's own with an asynchronous standby, to be promoted; both are empty."""
    with run_replicated_postgres() as servers:
        yield servers


@pytest.fixture(scope="session")
def tls_postgres(certificate: Certificate) -> Iterator[TlsPostgres]:
    """A migrated database that takes clients by TLS and a password only."""
    with run_postgres() as server, tls_front(server.socket, certificate) as port:
        migrate(server.url())
        roles = "pg_read_all_data, pg_write_all_data"
        server.execute(f"CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}' IN ROLE {roles}")
        yield TlsPostgres(port, PASSWORD, certificate.certificate)

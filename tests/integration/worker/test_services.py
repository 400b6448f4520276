"""The services of the tests do what the other tests take for granted."""

import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from broker import KafkaBroker
from cluster import KafkaCluster
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from launchers import Launcher
from replication import ReplicatedPostgres
from services import PATIENCE_S, Postgres, SecureKafka, TlsPostgres, create_topic, dead_letters_of, wait_for
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

WRONG = "wrong"  # A password.


def produce(value: bytes, topic: str, partition: int | None = None, **options: Any) -> None:
    producer = KafkaProducer(**options)
    try:
        producer.send(topic, value, partition=partition).get(timeout=PATIENCE_S)
    finally:
        producer.close(timeout=5)


def consume(count: int, topic: str, **options: Any) -> list[bytes]:
    consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=PATIENCE_S * 1000, **options)
    try:
        return [record.value for record in itertools.islice(consumer, count)]
    finally:
        consumer.close(timeout_ms=5000)


def test_a_record_goes_through_kafka(kafka: str, topic: str) -> None:
    produce(b"one", topic, bootstrap_servers=kafka)
    assert consume(1, topic, bootstrap_servers=kafka) == [b"one"]


def test_a_topic_comes_with_its_dead_letters_and_no_other_is_made_by_use(kafka: str, topic: str) -> None:
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    try:
        assert consumer.partitions_for_topic(topic) == {0, 1, 2, 3}
        assert consumer.partitions_for_topic(dead_letters_of(topic)) == {0}
        assert not consumer.partitions_for_topic(f"{topic}-missing")
    finally:
        consumer.close(timeout_ms=5000)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_record_goes_through_kafka_by_sasl_and_tls(
    mechanism: str, secure_kafka: SecureKafka, secure_topic: str
) -> None:
    produce(b"secret", secure_topic, **secure_kafka.options(mechanism))
    assert consume(1, secure_topic, **secure_kafka.options(mechanism)) == [b"secret"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_kafka_refuses_a_wrong_password(mechanism: str, secure_kafka: SecureKafka) -> None:
    with pytest.raises(KafkaError):
        create_topic(**secure_kafka.options(mechanism, password=WRONG), bootstrap_timeout_ms=2000)


@pytest.mark.parametrize("end", [KafkaBroker.kill, KafkaBroker.stop])
def test_a_broker_that_starts_again_has_its_records(end: Any, own_broker: KafkaBroker) -> None:
    topic = create_topic(own_broker.bootstrap)
    produce(b"kept", topic, bootstrap_servers=own_broker.bootstrap)
    end(own_broker)
    own_broker.start()
    assert consume(1, topic, bootstrap_servers=own_broker.bootstrap) == [b"kept"]


def test_a_broker_that_cannot_start_shows_why(
    session_broker: KafkaBroker, kafka_launcher: Launcher, tmp_path: Path
) -> None:
    other = KafkaBroker(tmp_path, kafka_launcher)
    properties = tmp_path / "server.properties"
    properties.write_text(properties.read_text().replace(other.bootstrap, session_broker.bootstrap))
    with pytest.raises(RuntimeError, match="Address already in use"):
        other.start()


def test_a_frozen_broker_does_not_answer_until_it_is_thawed(own_broker: KafkaBroker) -> None:
    topic = create_topic(own_broker.bootstrap)
    own_broker.freeze()
    try:
        with pytest.raises(KafkaError):
            create_topic(own_broker.bootstrap, request_timeout_ms=500, api_version_auto_timeout_ms=500)
    finally:
        own_broker.thaw()
    produce(b"late", topic, bootstrap_servers=own_broker.bootstrap)
    assert consume(1, topic, bootstrap_servers=own_broker.bootstrap) == [b"late"]


def test_a_killed_node_takes_its_own_partitions_away_and_brings_them_back(cluster: KafkaCluster) -> None:
    topic = create_topic(cluster.bootstrap, replicas=2, assignments=[[1], [2]])
    produce(b"on the second", topic, partition=1, bootstrap_servers=cluster.bootstrap)
    second = cluster.brokers[1]
    second.kill()
    wait_for(lambda: cluster.members() == {1}, what="the cluster to notice")
    produce(b"on the first", topic, partition=0, bootstrap_servers=cluster.bootstrap)
    with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap)) as admin:
        (described,) = admin.describe_topics([topic])
    assert {each["partition_index"]: each["leader_id"] for each in described["partitions"]} == {0: 1, 1: -1}
    second.start()
    assert set(consume(2, topic, bootstrap_servers=cluster.bootstrap)) == {b"on the first", b"on the second"}


def test_a_replicated_partition_outlives_a_node_that_hangs(cluster: KafkaCluster) -> None:
    topic = create_topic(cluster.bootstrap, partitions=1, assignments=[[2, 1]])
    cluster.brokers[1].freeze()
    try:
        wait_for(lambda: cluster.members() == {1}, what="the cluster to notice")
        produce(b"one", topic, bootstrap_servers=cluster.brokers[0].bootstrap)
    finally:
        cluster.brokers[1].thaw()
    assert consume(1, topic, bootstrap_servers=cluster.bootstrap) == [b"one"]


def query(url: str, statement: str) -> list[Any]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            return list(connection.execute(text(statement)).scalars())
    finally:
        engine.dispose()


@pytest.mark.parametrize("_turn", ["first", "second"])
def test_each_test_has_all_tables_and_no_row_of_another_test(_turn: str, postgres_url: str) -> None:
    assert query(postgres_url, "SELECT count(*) FROM training_runs") == [0]
    assert query(postgres_url, "INSERT INTO training_runs (state) VALUES ('failed') RETURNING state") == ["failed"]


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_a_postgres_that_starts_again_has_its_rows_at_the_same_address(end: Any, own_postgres: Postgres) -> None:
    url = own_postgres.url()
    own_postgres.execute("CREATE TABLE kept AS SELECT 1 AS one")
    end(own_postgres)
    with pytest.raises(OperationalError):
        query(url, "SELECT one FROM kept")
    own_postgres.start()
    assert query(url, "SELECT one FROM kept") == [1]


def test_a_promoted_standby_has_the_address_but_not_what_it_was_not_told(
    replicated_postgres: ReplicatedPostgres,
) -> None:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{replicated_postgres.address().port}/postgres"
    replicated_postgres.primary.execute("CREATE TABLE kept AS SELECT 1 AS one")
    wait_for(replicated_postgres.follows, what="the standby to follow")
    replicated_postgres.hold_back()
    replicated_postgres.primary.execute("INSERT INTO kept VALUES (2)")
    assert query(url, "SELECT one FROM kept") == [1, 2]

    replicated_postgres.promote()
    assert query(url, "INSERT INTO kept VALUES (3) RETURNING one") == [3]

    replicated_postgres.add_standby()
    replicated_postgres.promote()
    assert query(url, "SELECT one FROM kept") == [1, 3]


def test_a_postgres_that_commits_without_waiting_forgets_at_a_crash(own_postgres: Postgres) -> None:
    own_postgres.execute("CREATE TABLE kept AS SELECT 1 AS one")
    own_postgres.forget_at_a_crash()
    own_postgres.execute("INSERT INTO kept VALUES (2)")
    own_postgres.kill()
    own_postgres.start()
    assert query(own_postgres.url(), "SELECT one FROM kept") == [1]


def test_what_is_under_way_when_a_network_stalls_arrives_when_it_goes_on_and_is_lost_when_it_is_cut(
    replicated_postgres: ReplicatedPostgres,
) -> None:
    address = replicated_postgres.address()
    url = f"postgresql://postgres@127.0.0.1:{address.port}/postgres"
    replicated_postgres.primary.execute("CREATE TABLE said (what text)")

    def said() -> list[Any]:
        return query(replicated_postgres.primary.url(), "SELECT what FROM said")

    with closing(psycopg.connect(url)) as late, closing(psycopg.connect(url)) as lost:
        address.stall()
        late.pgconn.send_query(b"INSERT INTO said VALUES ('late')")
        late.pgconn.flush()
        assert said() == []
        address.resume()
        wait_for(lambda: said() == ["late"], what="the statement to arrive")
        address.stall()
        lost.pgconn.send_query(b"INSERT INTO said VALUES ('lost')")
        lost.pgconn.flush()
        address.cut()
        address.resume()
    assert said() == ["late"]


def test_postgres_takes_a_password_by_tls(tls_postgres: TlsPostgres) -> None:
    assert query(tls_postgres.url(), "SELECT current_user::text") == ["worker"]


def test_postgres_refuses_a_connection_without_tls(tls_postgres: TlsPostgres) -> None:
    with pytest.raises(OperationalError, match="no encryption"):
        query(tls_postgres.url(sslmode="disable"), "SELECT 1")


def test_postgres_refuses_a_wrong_password(tls_postgres: TlsPostgres) -> None:
    with pytest.raises(OperationalError, match="password authentication failed"):
        query(tls_postgres.url(password=WRONG), "SELECT 1")


def test_a_client_that_does_not_know_the_certificate_refuses_postgres(tls_postgres: TlsPostgres) -> None:
    stranger = tls_postgres._replace(sslrootcert=Path("system"))
    with pytest.raises(OperationalError, match="certificate verify failed"):
        query(stranger.url(), "SELECT 1")


def test_waiting_in_vain_names_what_was_waited_for() -> None:
    with pytest.raises(AssertionError, match="in vain for rain"):
        wait_for(lambda: False, timeout_s=0.1, what="rain")

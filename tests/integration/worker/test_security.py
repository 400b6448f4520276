"""Encrypted and authenticated connections work by settings alone; what is refused ends in one clear line."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broker import PASSWORD, KafkaBroker
from certificates import Certificate, make_certificate
from flow import Flow, WorkerProcess
from services import Postgres, SecureKafka, TlsPostgres, create_topic, dead_letters_of, wait_for

pytestmark = pytest.mark.kafka

WRONG = "battery-staple"  # A password.


@pytest.fixture
def guarded(
    session_broker: KafkaBroker,
    secure_kafka: SecureKafka,
    secure_topic: str,
    tls_postgres: TlsPostgres,
    tmp_path: Path,
) -> Iterator[Flow]:
    """A flow whose workers come in by SASL and TLS, while the test publishes at the broker's plain listener."""
    flow = Flow(session_broker.bootstrap, secure_topic, tls_postgres.url(), tmp_path)
    flow.settings |= {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": secure_kafka.bootstrap,
        "WORKER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "WORKER_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "WORKER_KAFKA_SASL_USERNAME": secure_kafka.username,
        "WORKER_KAFKA_SASL_PASSWORD": secure_kafka.password,
        "WORKER_KAFKA_SSL_CAFILE": str(secure_kafka.ssl_cafile),
        "STUB_HASTY": "1",
    }
    yield flow
    flow.close()


@pytest.fixture
def mutual(guarded: Flow, session_broker: KafkaBroker, certificate: Certificate, tmp_path: Path) -> Flow:
    """A flow whose workers show the broker a certificate; its key is encrypted with a password."""
    key = tmp_path / "encrypted.pem"
    encrypt = ["openssl", "pkcs8", "-topk8", "-in", str(certificate.key), "-out", str(key), "-passout", "stdin"]
    subprocess.run(encrypt, input=PASSWORD.encode(), check=True, capture_output=True)
    for name in guarded.settings.copy():
        if "_SASL_" in name:
            del guarded.settings[name]
    guarded.settings |= {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": session_broker.mutual_bootstrap,
        "WORKER_KAFKA_SECURITY_PROTOCOL": "SSL",
        "WORKER_KAFKA_SSL_CERTFILE": str(certificate.certificate),
        "WORKER_KAFKA_SSL_KEYFILE": str(key),
        "WORKER_KAFKA_SSL_PASSWORD": PASSWORD,
    }
    return guarded


def assert_one_clear_line(worker: WorkerProcess, *hints: str) -> None:
    """It ended by itself with exit code 2, and all it complained of is in one line."""
    assert worker.wait() == 2, worker.output()
    complaints = [line["event"] for line in worker.log if line["level"] in {"warning", "error"}]
    assert len(complaints) == 1, complaints
    assert all(hint in complaints[0] for hint in hints), complaints
    assert len(worker.log) == len(worker.output().splitlines()), worker.output()
    assert "Traceback" not in worker.output()
    assert WRONG not in worker.output()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_rows_and_dead_letters_go_through_sasl_and_tls(
    mechanism: str, guarded: Flow, tls_postgres: TlsPostgres
) -> None:
    guarded.publish(100)
    guarded.publish_raw([b"garbage"])
    worker = guarded.start(WORKER_KAFKA_SASL_MECHANISM=mechanism)

    def rows() -> list[dict[str, Any]]:
        return [row for row in guarded.rows() if row["kafka_topic"] == guarded.topic]

    wait_for(lambda: len(rows()) == 100, "rows")
    wait_for(guarded.dead_letters, what="the dead letter")
    assert worker.stop() == 0
    assert tls_postgres.password not in worker.output()
    assert guarded.settings["WORKER_KAFKA_SASL_PASSWORD"] not in worker.output()


def test_a_broker_that_refuses_us_or_that_we_do_not_trust_stops_the_worker(guarded: Flow, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    foreign = make_certificate(folder).certificate
    # All at once: each takes until the client has given up.
    plain = guarded.start(WORKER_KAFKA_SASL_MECHANISM="PLAIN", WORKER_KAFKA_SASL_PASSWORD=WRONG)
    scram = guarded.start(WORKER_KAFKA_SASL_PASSWORD=WRONG)
    unknown = guarded.start(WORKER_KAFKA_SASL_MECHANISM="SCRAM-SHA-512")
    distrusted = guarded.start(WORKER_KAFKA_SSL_CAFILE=str(foreign))
    unreadable = guarded.start(WORKER_KAFKA_SSL_CAFILE=str(tmp_path / "missing.pem"))
    folder_for_file = guarded.start(WORKER_KAFKA_SSL_CAFILE=str(tmp_path))
    plaintext = guarded.start(WORKER_KAFKA_SECURITY_PROTOCOL="PLAINTEXT")

    assert_one_clear_line(plain, "Kafka refuses", "WORKER_KAFKA_SASL_PASSWORD")
    assert_one_clear_line(scram, "Kafka refuses", "WORKER_KAFKA_SASL_PASSWORD")
    assert_one_clear_line(unknown, "Kafka refuses", "WORKER_KAFKA_SASL_MECHANISM")
    assert_one_clear_line(distrusted, "certificate verify failed", "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(unreadable, "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(folder_for_file, "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(plaintext, "WORKER_KAFKA_SECURITY_PROTOCOL")


def test_rows_and_dead_letters_go_to_a_broker_that_asks_for_a_certificate(mutual: Flow) -> None:
    mutual.publish(20)
    mutual.publish_raw([b"garbage"])
    worker = mutual.start()

    wait_for(lambda: len([row for row in mutual.rows() if row["kafka_topic"] == mutual.topic]) == 20, "rows")
    wait_for(mutual.dead_letters, what="the dead letter")
    assert worker.stop() == 0
    assert PASSWORD not in worker.output()


def test_a_broker_that_asks_for_another_certificate_stops_the_worker(mutual: Flow, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    foreign = make_certificate(folder)
    plain_key = {"WORKER_KAFKA_SSL_KEYFILE": str(foreign.key)}
    # All at once: each takes until the client has given up.
    distrusted = mutual.start(**plain_key, WORKER_KAFKA_SSL_CERTFILE=str(foreign.certificate))
    locked = mutual.start(WORKER_KAFKA_SSL_PASSWORD=WRONG)
    missing = mutual.start(WORKER_KAFKA_SSL_KEYFILE=str(tmp_path / "missing.pem"))
    for name in ("CERTFILE", "KEYFILE", "PASSWORD"):
        del mutual.settings[f"WORKER_KAFKA_SSL_{name}"]
    nameless = mutual.start()

    assert_one_clear_line(distrusted, "certificate", "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(locked, "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(missing, "WORKER_KAFKA_SSL_ files")
    assert_one_clear_line(nameless, "certificate", "WORKER_KAFKA_SSL_ files")


def test_a_broker_that_is_away_is_waited_for(guarded: Flow) -> None:
    worker = guarded.start(WORKER_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    wait_for(lambda: worker.said("waiting for a service that is away"), "the worker to wait")
    assert worker.process.poll() is None
    assert worker.stop() == 0


def test_a_database_that_refuses_us_stops_the_worker(guarded: Flow, tls_postgres: TlsPostgres) -> None:
    password = guarded.start(WORKER_DATABASE_URL=tls_postgres.url(password=WRONG))
    plain = guarded.start(WORKER_DATABASE_URL=tls_postgres.url(sslmode="disable"))
    distrusted = guarded.start(WORKER_DATABASE_URL=tls_postgres._replace(sslrootcert=Path("system")).url())

    assert_one_clear_line(password, "Postgres refuses us: ", "password authentication failed", "WORKER_DATABASE_URL")
    assert_one_clear_line(plain, "Postgres refuses us: ", "no encryption", "WORKER_DATABASE_URL")
    assert_one_clear_line(distrusted, "Postgres refuses us: ", "certificate verify failed", "WORKER_DATABASE_URL")


def test_what_is_not_there_yet_stops_the_worker_and_says_how_to_make_it(flow: Flow, session_postgres: Postgres) -> None:
    empty = session_postgres.create_database()
    topic = flow.start(WORKER_KAFKA_TOPIC="no-such-topic")
    dead_letters = flow.start(WORKER_KAFKA_DEAD_LETTER_TOPIC="no-such-dead-letters")
    tables = flow.start(WORKER_DATABASE_URL=session_postgres.url(empty))
    database = flow.start(WORKER_DATABASE_URL=session_postgres.url("no_such_database"))

    assert_one_clear_line(topic, "there is no topic no-such-topic", "--create --topic no-such-topic")
    assert_one_clear_line(
        dead_letters, "there is no topic no-such-dead-letters", "--create --topic no-such-dead-letters"
    )
    assert_one_clear_line(tables, "lacks migration", "emotion-worker migrate")
    assert_one_clear_line(database, "does not exist", "WORKER_DATABASE_URL")
    session_postgres.drop_database(empty)


def test_a_topic_of_the_dead_letters_is_asked_for_by_its_own_name(flow: Flow) -> None:
    worker = flow.start(WORKER_KAFKA_TOPIC=create_topic(flow.bootstrap))
    wait_for(lambda: worker.said("partition claimed"), "partitions")
    assert worker.said("starting")[0]["kafka_dead_letter_topic"] == dead_letters_of(flow.topic)
    assert worker.stop() == 0

"""What the Kafka client is told, and what its errors mean to the worker."""

import re
from pathlib import Path

import pytest
from kafka import errors
from makers import forget_settings
from pydantic import SecretStr

from worker.errors import Away, ConfigurationError
from worker.kafka import client
from worker.kafka.client import kafka_options, kafka_problems
from worker.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)


def test_the_options_hold_what_is_set_and_leave_the_rest_to_the_client() -> None:
    options = kafka_options(Settings.load(kafka_bootstrap_servers="one:9092,other:9092"))
    assert options == {
        "bootstrap_servers": ["one:9092", "other:9092"],
        "security_protocol": "PLAINTEXT",
        "ssl_check_hostname": True,
    }


def test_the_options_hold_the_secrets_themselves_and_paths_as_text() -> None:
    settings = Settings.load(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="worker",
        kafka_sasl_password=SecretStr("hunter2"),
        kafka_ssl_cafile=Path("/tls/ca.pem"),
        kafka_ssl_password=SecretStr("hunter3"),
        kafka_ssl_check_hostname=False,
    )
    assert kafka_options(settings) == {
        "bootstrap_servers": ["localhost:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": "/tls/ca.pem",
        "ssl_password": "hunter3",
        "ssl_check_hostname": False,
    }


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "SASL_SSL needs WORKER_KAFKA_SASL_MECHANISM"),
        ({"kafka_sasl_mechanism": "OAUTHBEARER"}, "no effect where WORKER_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({"kafka_sasl_mechanism": "PLAIN", "kafka_security_protocol": "SSL"}, "PROTOCOL is SSL. Set that to SASL_SSL"),
        (
            {"kafka_sasl_mechanism": "SCRAM-SHA-512", "kafka_security_protocol": "SASL_SSL"},
            "needs WORKER_KAFKA_SASL_USERNAME and WORKER_KAFKA_SASL_PASSWORD",
        ),
    ],
)
def test_half_of_the_settings_of_sasl_is_refused_with_the_other_half(given: dict[str, str], lacking: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(lacking)):
        kafka_options(Settings.load(**given))


def test_kerberos_is_passed_through_where_its_library_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="GSSAPI",
        kafka_kerberos_service_name="kafka-prod",
        kafka_kerberos_domain_name="brokers.example.com",
    )
    monkeypatch.setattr(client, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'asr-emotions\[kerberos\]'"):
        kafka_options(settings)
    monkeypatch.setattr(client, "find_spec", lambda name: name == "gssapi")
    options = kafka_options(settings)
    assert options["sasl_mechanism"] == "GSSAPI"
    assert options["sasl_kerberos_service_name"] == "kafka-prod"
    assert options["sasl_kerberos_domain_name"] == "brokers.example.com"


@pytest.mark.parametrize(
    "error",
    [
        errors.KafkaConnectionError("refused"),
        errors.KafkaTimeoutError("timed out"),
        errors.NodeNotReadyError(),
        errors.NotLeaderForPartitionError(),
        errors.CoordinatorNotAvailableError(),
        errors.RequestTimedOutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_broker_that_is_away_or_busy_electing_is_waited_for(error: Exception) -> None:
    with pytest.raises(Away, match="Kafka is away, cannot poll: ") as raised, kafka_problems("poll"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errors.SaslAuthenticationFailedError("bad password"), "WORKER_KAFKA_SASL_PASSWORD"),
        (errors.UnsupportedSaslMechanismError("PLAIN"), "WORKER_KAFKA_SASL_MECHANISM"),
        (errors.TopicAuthorizationFailedError("transcripts"), "the rights of that user"),
        (errors.GroupAuthorizationFailedError("emotion-worker"), "the rights of that user"),
        (errors.KafkaConfigurationError("session_timeout_ms"), "Check the WORKER_KAFKA_ settings"),
        (errors.InvalidTopicError("a/b"), "Check the WORKER_KAFKA_ settings"),
        (errors.InvalidGroupIdError(), "Check the WORKER_KAFKA_ settings"),
        (errors.InvalidSessionTimeoutError(), "Check the WORKER_KAFKA_ settings"),
        (errors.UnsupportedVersionError("too old"), "Check the version of the brokers"),
        (errors.IncompatibleBrokerVersion("too old"), "Check the version of the brokers"),
        (errors.UnrecognizedBrokerVersion(), "Check the version of the brokers"),
        (errors.UnsupportedCompressionTypeError(), "Check the version of the brokers"),
        (errors.UnsupportedForMessageFormatError(), "Check the version of the brokers"),
        (errors.UnsupportedCodecError("no library for snappy"), "Install `kafka-python[lz4,snappy,zstd]`"),
        (errors.InvalidTimestampError(), "Raise message.timestamp.before.max.ms of the topic"),
        (FileNotFoundError("/tls/ca.pem"), "Check the WORKER_KAFKA_SSL_ files"),
        (errors.MessageSizeTooLargeError(), "Raise max.message.bytes of the topic"),
        (errors.RecordListTooLargeError(), "Raise max.message.bytes of the topic"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broker_that_refuses_us_stops_the_worker_with_what_to_check(error: Exception, hint: str) -> None:
    told = rf"^Kafka .* poll: .*{re.escape(str(error))}.*{re.escape(hint)}.*$"
    with pytest.raises(ConfigurationError, match=told) as raised, kafka_problems("poll"):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [errors.IllegalStateError("ours"), ZeroDivisionError()])
def test_a_fault_of_our_own_passes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, kafka_problems("poll"):
        raise error
    assert raised.value is error


def test_what_works_is_left_alone() -> None:
    with kafka_problems("poll"):
        assert True

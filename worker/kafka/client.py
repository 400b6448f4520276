"""How to reach the brokers, and what their errors mean to us; for consumer, producer and admin client alike."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ssl import SSLError
from typing import Any, Final, TypeVar

from kafka.errors import KafkaConfigurationError, KafkaConnectionError, KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from pydantic import SecretStr

from worker.errors import ConfigurationError
from worker.kafka import errors, patches
from worker.kafka.tokens import tokens_of
from worker.settings import Settings

Client = TypeVar("Client")

KAFKA_AWAY: Final = errors.AWAY

_UNTRUSTED: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, SSLError)

CALL_TIMEOUT_MS: Final = 3_000
"""How long one question to a broker may take before it counts as away; the stop may be delayed this long."""

PRODUCER_OPTIONS: Final = {
    "acks": "all",
    # A record that its producer compressed may fit into a topic only when it is compressed again.
    "compression_type": "gzip",
    # More than topics take, so that only their limit counts; less than brokers do (socket.request.max.bytes).
    "max_request_size": 64 * 2**20,
}
"""What every producer is told."""

_OPTIONS: Final = {
    "kafka_security_protocol": "security_protocol",
    "kafka_sasl_mechanism": "sasl_mechanism",
    "kafka_sasl_username": "sasl_plain_username",
    "kafka_sasl_password": "sasl_plain_password",
    "kafka_kerberos_service_name": "sasl_kerberos_service_name",
    "kafka_kerberos_domain_name": "sasl_kerberos_domain_name",
    "kafka_ssl_cafile": "ssl_cafile",
    "kafka_ssl_certfile": "ssl_certfile",
    "kafka_ssl_keyfile": "ssl_keyfile",
    "kafka_ssl_password": "ssl_password",
}


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Return the client options that consumer, producer and admin client share.

    Raises:
        ConfigurationError: the SASL mechanism lacks a library, a source of tokens or another setting.
    """
    _require_whole_sasl(settings)
    if settings.kafka_sasl_mechanism == "GSSAPI" and not find_spec("gssapi"):
        raise ConfigurationError("GSSAPI needs a library that is not installed: pip install 'asr-emotions[kerberos]'")
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
    }
    for name, option in _OPTIONS.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            options[option] = value.get_secret_value()
        elif value is not None:
            options[option] = str(value)
    tokens = tokens_of(settings)
    if tokens:
        options["sasl_oauth_token_provider"] = tokens
    return options


def _require_whole_sasl(settings: Settings) -> None:
    """Refuse settings of SASL that lack others: the client would wait for ever, or come in as nobody."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if mechanism is None and protocol.startswith("SASL_"):
        raise ConfigurationError(f"WORKER_KAFKA_SECURITY_PROTOCOL={protocol} needs WORKER_KAFKA_SASL_MECHANISM: set it")
    if mechanism is not None and not protocol.startswith("SASL_"):
        raise ConfigurationError(
            f"WORKER_KAFKA_SASL_MECHANISM={mechanism} has no effect where WORKER_KAFKA_SECURITY_PROTOCOL is {protocol}."
            " Set that to SASL_SSL, or to SASL_PLAINTEXT, or leave the mechanism out"
        )
    by_password = mechanism is not None and mechanism.startswith(("PLAIN", "SCRAM"))
    if by_password and not (settings.kafka_sasl_username and settings.kafka_sasl_password):
        raise ConfigurationError(
            f"WORKER_KAFKA_SASL_MECHANISM={mechanism} needs WORKER_KAFKA_SASL_USERNAME and WORKER_KAFKA_SASL_PASSWORD"
        )


def open_client(kind: Callable[..., Client], settings: Settings, **options: Any) -> Client:
    """Make a client that talks to a broker at once, or leave nothing behind; to be called within `kafka_problems`.

    A broker that refuses us ends in a time-out of the client (3.0.12), as one that is away does. Which of the two
    it was, the client tells its log alone: a refusal that is heard there is raised instead.

    Args:
        kind: KafkaConsumer, KafkaProducer or KafkaAdminClient.
        settings: which brokers.
        options: further options of this client.

    Raises:
        Away: who gives tokens cannot be reached.
        ConfigurationError: there is no token to be had.
    """
    shared = kafka_options(settings)
    if "sasl_oauth_token_provider" in shared:
        # Here an error says what is wrong; the client would only note on its own thread that it cannot connect.
        shared["sasl_oauth_token_provider"].renew()
    heard, log = _Refusals(), logging.getLogger("kafka.net.manager")
    level = log.level
    log.addHandler(heard)
    log.setLevel(logging.WARNING)
    try:
        patience = {"bootstrap_timeout_ms": patches.FIRST_CONTACT_MS}
        return _open_or_close(kind, shared | patience | options)
    except KafkaTimeoutError as error:
        if heard.last:
            raise heard.last from error
        raise
    finally:
        log.setLevel(level)
        log.removeHandler(heard)


def _open_or_close(kind: Callable[..., Client], options: dict[str, Any]) -> Client:
    """Make a client; where that fails, close what it talks through.

    The client (3.0.12) leaves its thread, its selector and its sockets behind when it finds no broker: whoever waits
    for one, and tries again and again, would run out of descriptors.
    """
    made: list[KafkaNetClient] = []

    def make(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        return kind(kafka_client=make, **options)
    except BaseException as error:
        for each in made:
            each.close()
        if isinstance(error, ValueError):  # An address that is none, before there is a client to complain of it.
            raise KafkaConfigurationError(*error.args) from error
        raise


class _Refusals(logging.Handler):
    """Notes the errors in log lines that say: the broker is there, and one side does not trust the other."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for said in record.args or ():
            if isinstance(said, errors.REFUSED + errors.FOREIGN + _UNTRUSTED):
                self.last = said
            elif isinstance(said, KafkaConnectionError) and "CERTIFICATE" in str(said):
                self.last = SSLError(str(said))
            elif isinstance(said, ValueError | OverflowError):  # Of an address that is none.
                self.last = KafkaConfigurationError(str(said))


@contextmanager
def kafka_problems(doing: str) -> Iterator[None]:
    """Turn the client's errors into the two kinds that the worker knows.

    Raises:
        ConfigurationError: any answer of a broker that is no outage; it says what to do.
        Away: the broker cannot be reached, or is busy electing; trying again helps.
    """
    try:
        yield
    except KafkaError as error:
        meaning = errors.meaning_of(error, doing)
        if meaning is None:
            raise
        raise meaning from error
    except _UNTRUSTED as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the WORKER_KAFKA_SSL_ files") from error

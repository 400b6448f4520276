"""How to reach the brokers, and what their errors mean to us; for consumer, producer and admin client alike."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ssl import SSLError, SSLWantReadError, SSLWantWriteError
from typing import Any, Final, TypeVar

from kafka.consumer.fetcher import Fetcher
from kafka.errors import (
    AuthorizationError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnrecognizedBrokerVersion,
    UnsupportedCodecError,
    UnsupportedCompressionTypeError,
    UnsupportedForMessageFormatError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from pydantic import SecretStr

from worker.errors import Away, ConfigurationError
from worker.settings import Settings

Client = TypeVar("Client")

KAFKA_AWAY: Final = (RetriableError, KafkaTimeoutError)

_REFUSED: Final = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, AuthorizationError)
_UNTRUSTED: Final = (FileNotFoundError, PermissionError, SSLError)
_WRONG: Final = (KafkaConfigurationError, InvalidGroupIdError, InvalidSessionTimeoutError, InvalidTopicError)
_TOO_OLD: Final = (
    UnrecognizedBrokerVersion,
    UnsupportedCompressionTypeError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)

_FIRST_CONTACT_MS: Final = 10_000
"""How long a client may take to find a broker."""

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
    "kafka_ssl_cafile": "ssl_cafile",
    "kafka_ssl_certfile": "ssl_certfile",
    "kafka_ssl_keyfile": "ssl_keyfile",
    "kafka_ssl_password": "ssl_password",
}


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Return the client options that consumer, producer and admin client share."""
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
    return options


def open_client(kind: Callable[..., Client], settings: Settings, **options: Any) -> Client:
    """Make a client that talks to a broker at once, or leave nothing behind; to be called within `kafka_problems`.

    A broker that refuses us ends in a time-out of the client (3.0.12), as one that is away does. Which of the two
    it was, the client tells its log alone: a refusal that is heard there is raised instead.

    Args:
        kind: KafkaConsumer, KafkaProducer or KafkaAdminClient.
        settings: which brokers.
        options: what this client is told besides.
    """
    heard, log = _Refusals(), logging.getLogger("kafka.net.manager")
    level = log.level
    log.addHandler(heard)
    log.setLevel(logging.WARNING)
    try:
        return _open_or_close(kind, kafka_options(settings) | {"bootstrap_timeout_ms": _FIRST_CONTACT_MS} | options)
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
    except BaseException:
        for each in made:
            each.close()
        raise


def _with_last_words(receive: Callable[[Any], tuple[bytes, Exception | None]]) -> Callable[[Any], Any]:
    """Let a connection hear what its peer said last.

    The client (3.0.12) throws away what it reads together with the end of the stream: a broker that says why it
    refuses us, and hangs up, seems to have only hung up. With the end left for the next read, its words count.
    """

    def receive_in_turn(transport: Any) -> tuple[bytes, Exception | None]:
        received, end = receive(transport)
        return received, None if received else end

    return receive_in_turn


for _transport in (KafkaTCPTransport, KafkaSSLTransport):
    # Another 3.x may receive elsewhere. It works all the same, but a refusal may then look like an outage.
    if "_sock_recv" in vars(_transport):
        _transport._sock_recv = _with_last_words(_transport._sock_recv)  # noqa: SLF001 - there is no other place.


def _or_close(attempt: Callable[..., Awaitable[Any]], position: int) -> Callable[..., Awaitable[Any]]:
    """Let an attempt that fails close its socket or transport, which is its argument at a position.

    The client (3.0.12) leaves that to the garbage collector, which may come after hundreds of attempts.
    """

    async def attempt_or_close(*args: Any, **options: Any) -> Any:
        try:
            return await attempt(*args, **options)
        except BaseException:
            args[position].close()
            raise

    return attempt_or_close


if "sock_connect" in vars(KafkaNetSocket):
    KafkaNetSocket.sock_connect = _or_close(KafkaNetSocket.sock_connect, position=2)


async def _handshake(transport: Any) -> None:
    """Shake hands, in the time that a first contact may take.

    The client (3.0.12) waits for ever for a peer that takes the connection and says nothing.
    """
    until = time.monotonic() + _FIRST_CONTACT_MS / 1000
    net, sock = transport._net, transport._sock  # noqa: SLF001 - as above.
    while True:
        try:
            sock.do_handshake()
        except SSLWantReadError:
            await net.wait_read(sock, until)
        except SSLWantWriteError:
            await net.wait_write(sock, until)
        else:
            return


if "handshake" in vars(KafkaSSLTransport):
    KafkaSSLTransport.handshake = _or_close(_handshake, position=0)


def _with_a_free_place(fetched_records: Callable[..., Any]) -> Callable[..., Any]:
    """Let records that were set aside while their partition was paused take the place of those that are read.

    The client (3.0.12) takes the place for full even then, and reads on in such a partition no more; it needs other
    partitions that were not paused meanwhile, as when some are claimed before others.
    """

    def take_turns(fetcher: Fetcher, *args: Any, **options: Any) -> Any:
        fetcher._next_partition_records = fetcher._next_partition_records or None  # noqa: SLF001 - as above.
        return fetched_records(fetcher, *args, **options)

    return take_turns


if "fetched_records" in vars(Fetcher):
    Fetcher.fetched_records = _with_a_free_place(Fetcher.fetched_records)


class _Refusals(logging.Handler):
    """Notes the errors in log lines that say: the broker is there, and one side does not trust the other."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for said in record.args or ():
            if isinstance(said, _REFUSED + _UNTRUSTED):
                self.last = said
            elif isinstance(said, KafkaConnectionError) and "CERTIFICATE" in str(said):
                self.last = SSLError(str(said))


@contextmanager
def kafka_problems(doing: str) -> Iterator[None]:
    """Turn the client's errors into the two kinds that the worker knows.

    Raises:
        ConfigurationError: the broker refuses us; trying again does not help.
        Away: the broker cannot be reached, or is busy electing; trying again helps.
    """
    try:
        yield
    except _REFUSED as error:
        raise ConfigurationError(
            f"Kafka refuses to {doing}: {error}. Check WORKER_KAFKA_SECURITY_PROTOCOL, WORKER_KAFKA_SASL_MECHANISM, "
            "WORKER_KAFKA_SASL_USERNAME, WORKER_KAFKA_SASL_PASSWORD and the rights of that user"
        ) from error
    except _WRONG as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the WORKER_KAFKA_ settings") from error
    except _TOO_OLD as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the version of the brokers") from error
    except UnsupportedCodecError as error:
        raise ConfigurationError(
            f"Kafka cannot {doing}: {error}. Install `kafka-python[lz4,snappy,zstd]`, which brings them all"
        ) from error
    except InvalidTimestampError as error:
        raise ConfigurationError(
            f"Kafka cannot {doing}: {error}. Raise message.timestamp.before.max.ms of the topic: a record that is "
            "replayed keeps its timestamp"
        ) from error
    except _UNTRUSTED as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the WORKER_KAFKA_SSL_ files") from error
    except _TOO_LARGE as error:
        raise ConfigurationError(
            f"Kafka cannot {doing}: {error}. Raise max.message.bytes of the topic; a topic of dead letters needs more "
            "than the topic of transcripts, as each record gets headers"
        ) from error
    except KAFKA_AWAY as error:
        raise Away(f"Kafka is away, cannot {doing}: {error!r}") from error

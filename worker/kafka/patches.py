"""What the Kafka client (3.0.12) gets wrong, mended in its classes when this is imported."""

import time
from collections.abc import Awaitable, Callable, Iterator
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, Final

import kafka
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher, RecordTooLargeError
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    SaslAuthenticationFailedError,
    UnknownError,
    UnsupportedCodecError,
)
from kafka.net.connection import KafkaConnection
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch

from worker.errors import ConfigurationError
from worker.kafka.unreadable import Batches, ForgivingBytes, UnreadableBatch

FIRST_CONTACT_MS: Final = 10_000
"""How long a client may take to find a broker."""

_KDC_AWAY: Final = -1_765_328_228 % 2**32
"""Kerberos' code for a server of tickets that cannot be reached; source: KRB5_KDC_UNREACH in krb5.h."""

_OF_A_BATCH: Final = (CorruptRecordError, InvalidRecordError, RecordTooLargeError, UnknownError)
"""Answers to a fetch which mean that the broker cannot read a batch."""


def patch_method(owner: type, name: str, mended: Callable[[Any], Any]) -> None:
    """Put what is made of a method of the client in that method's place.

    Raises:
        ConfigurationError: the client that is installed has no such method: it may work, or lose records.
    """
    if name not in vars(owner):
        raise ConfigurationError(
            f"kafka-python {kafka.__version__} has no {owner.__qualname__}.{name}, a place where it is to be mended. "
            "Install kafka-python==3.0.12"
        )
    setattr(owner, name, mended(vars(owner)[name]))


def _with_last_words(receive: Callable[[Any], tuple[bytes, Exception | None]]) -> Callable[[Any], Any]:
    """Let a connection hear what its peer said last.

    The client (3.0.12) throws away what it reads together with the end of the stream: a broker that says why it
    refuses us, and hangs up, seems to have only hung up. With the end left for the next read, its words count.
    """

    def receive_in_turn(transport: Any) -> tuple[bytes, Exception | None]:
        received, end = receive(transport)
        return received, None if received else end

    return receive_in_turn


patch_method(KafkaTCPTransport, "_sock_recv", _with_last_words)
patch_method(KafkaSSLTransport, "_sock_recv", _with_last_words)


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


patch_method(KafkaNetSocket, "sock_connect", lambda connect: _or_close(connect, position=2))


async def _handshake(transport: Any) -> None:
    """Shake hands, in the time that a first contact may take.

    The client (3.0.12) waits for ever for a peer that takes the connection and says nothing.
    """
    until = time.monotonic() + FIRST_CONTACT_MS / 1000
    net, sock = transport._net, transport._sock  # noqa: SLF001 - there is no other place.
    while True:
        try:
            sock.do_handshake()
        except SSLWantReadError:
            await net.wait_read(sock, until)
        except SSLWantWriteError:
            await net.wait_write(sock, until)
        else:
            return


patch_method(KafkaSSLTransport, "handshake", lambda _: _or_close(_handshake, position=0))


def _or_refused(authenticate: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Raise Kafka's own errors where a SASL mechanism fails; the client (3.0.12) lets those of libraries through.

    They come up from any question to a broker, and end the thread that sends heartbeats.
    """

    async def authenticate_or_tell(*args: Any, **options: Any) -> Any:
        try:
            return await authenticate(*args, **options)
        except (KafkaError, OSError):
            raise
        except Exception as error:
            away = getattr(error, "min_code", None) == _KDC_AWAY
            raise (KafkaConnectionError if away else SaslAuthenticationFailedError)(str(error)) from error

    return authenticate_or_tell


patch_method(KafkaConnection, "_sasl_authenticate", _or_refused)


def _with_a_free_place(fetched_records: Callable[..., Any]) -> Callable[..., Any]:
    """Let records that were set aside while their partition was paused take the place of those that are read.

    The client (3.0.12) takes the place for full even then, and reads on in such a partition no more; it needs other
    partitions that were not paused meanwhile, as when some are claimed before others.
    """

    def take_turns(fetcher: Fetcher, *args: Any, **options: Any) -> Any:
        fetcher._next_partition_records = fetcher._next_partition_records or None  # noqa: SLF001 - as above.
        return fetched_records(fetcher, *args, **options)

    return take_turns


patch_method(Fetcher, "fetched_records", _with_a_free_place)


def _or_no_leader(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Say of a partition without a leader that it has none, where the client (3.0.12) raises a bare KeyError."""

    def ask_or_tell(*args: Any, **options: Any) -> Any:
        try:
            return ask(*args, **options)
        except KeyError as error:
            raise LeaderNotAvailableError(*error.args) from error

    return ask_or_tell


patch_method(Fetcher, "beginning_or_end_offset", _or_no_leader)


def _with_any_header_name(read: Callable[..., Any]) -> Callable[..., Any]:
    """Read a record whose header has a name that is no UTF-8: brokers take it, the client (3.0.12) does not."""

    def read_anyway(batch: Any, *args: Any) -> Any:
        try:
            return read(batch, *args)
        except UnicodeDecodeError:
            batch._buffer = ForgivingBytes(batch._buffer)  # noqa: SLF001 - as above.
            return read(batch, *args)

    return read_anyway


patch_method(DefaultRecordBatch, "_read_msg", _with_any_header_name)


def _or_name_the_batch(unpack: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Raise UnreadableBatch for what cannot be read, each time that it is read.

    After an error that is not its own, the client (3.0.12) would look for ever for the rest of the answer.
    """

    def unpack_or_tell(part: Any, partition: TopicPartition, records: Any, *options: Any) -> Iterator[Any]:
        batches = Batches(records, part.known_end)
        try:
            yield from unpack(part, partition, batches, *options)
        except Exception as error:
            part.drain()
            # Neither is the batch's fault: no memory, and a library that is not installed.
            if isinstance(error, MemoryError) or (isinstance(error, UnsupportedCodecError) and "Librar" in str(error)):
                raise
            offset = max(part.fetch_offset, part.next_fetch_offset)
            raise UnreadableBatch(partition, offset, batches.offset_after(offset), error) from error

    return unpack_or_tell


patch_method(Fetcher.PartitionRecords, "_unpack_records", _or_name_the_batch)


def _or_name_the_partition(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Raise UnreadableBatch for what the broker cannot read, or gives in part only."""

    def parse_or_tell(fetcher: Fetcher, answer: Any) -> Any:
        try:
            part = parse(fetcher, answer)
        except KafkaError as error:
            # A bare KafkaError says that no batch in the answer is whole.
            if isinstance(error, _OF_A_BATCH) or type(error) is KafkaError:
                raise UnreadableBatch(answer.topic_partition, answer.fetched_offset, None, error) from error
            raise
        if part is not None:
            part.known_end = answer.partition_data.high_watermark
        return part

    return parse_or_tell


patch_method(Fetcher, "_parse_fetched_data", _or_name_the_partition)

"""What the Kafka client (3.0.12) gets wrong within its connections, mended in its classes when this is imported."""

import time
from collections.abc import Awaitable, Callable
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, Final

from kafka.consumer.fetcher import Fetcher
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

FIRST_CONTACT_MS: Final = 10_000
"""How long a client may take to find a broker."""


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
    until = time.monotonic() + FIRST_CONTACT_MS / 1000
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

"""TLS in front of a Postgres that has none, as a connection pooler or a cloud's proxy does it."""

import asyncio
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from certificates import Certificate
from forwarder import loop_in_thread, relay

# https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST: Final = 80877103
_GSSENC_REQUEST: Final = 80877104
_REFUSAL: Final = b"SFATAL\0VFATAL\0C28000\0Mno encryption: this server takes TLS only\0\0"


@contextmanager
def tls_front(server_socket: Path, certificate: Certificate) -> Iterator[int]:
    """Demand TLS at a loopback port and pass what comes on to the server's Unix socket; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    serve = partial(_serve, server_socket=server_socket, context=context)
    with loop_in_thread("tls-front") as loop:
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop)
        yield listening.result(10).sockets[0].getsockname()[1]


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    server_socket: Path,
    context: ssl.SSLContext,
) -> None:
    try:
        if await _tls_wanted(reader, writer):
            writer.write(b"S")
            await writer.start_tls(context)
            server_reader, server_writer = await asyncio.open_unix_connection(server_socket)
            await asyncio.gather(relay(reader, server_writer), relay(server_reader, writer))
        else:
            writer.write(b"E" + struct.pack("!I", len(_REFUSAL) + 4) + _REFUSAL)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # Either side may hang up at any time; the other then reads the end of its stream.
    finally:
        writer.close()


async def _tls_wanted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read the client's first words; what is no request for TLS is a start without it."""
    while True:
        _, code = struct.unpack("!II", await reader.readexactly(8))
        if code != _GSSENC_REQUEST:
            return bool(code == _SSL_REQUEST)
        writer.write(b"N")

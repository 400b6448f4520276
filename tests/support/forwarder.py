"""A network between a client and a server that a test can stall, cut and lead elsewhere."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Forwarder:
    """Passes what comes to a loopback port on to a server's Unix socket, as a virtual address or a proxy does.

    Attributes:
        port: where it listens.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: Path | None) -> None:
        self._loop = loop
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._listener = self._run(self._listen())
        self.port: int = self._listener.sockets[0].getsockname()[1]

    def point_to(self, target: Path | None) -> None:
        """Cut all connections; those to come go to another server, or to none."""
        self._target = target
        self.cut()

    def stall(self) -> None:
        """Carry nothing any more, in both directions; connections stay open, and new ones are taken."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def resume(self) -> None:
        """Carry on after `stall`, beginning with what was under way."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def cut(self) -> None:
        """End all connections; what was under way is lost."""
        self._run(self._end_connections())

    def close(self) -> None:
        """Listen no longer and end all connections."""
        self._loop.call_soon_threadsafe(self._listener.close)
        self.cut()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _end_connections(self) -> None:
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await self._flows.wait()
            if self._target:
                server_reader, server_writer = await asyncio.open_unix_connection(self._target)
                await asyncio.gather(
                    relay(reader, server_writer, self._flows), relay(server_reader, writer, self._flows)
                )
        except (OSError, asyncio.CancelledError):
            pass  # Either side may hang up at any time, the server may not be there, and a test may cut us.
        finally:
            self._connections.discard(task)
            writer.close()


@contextmanager
def loop_in_thread(name: str) -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop on a thread of its own; what still runs on it in the end is cancelled."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name=name)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_end_all_tasks(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event | None = None) -> None:
    """Pass on what one side says until it hangs up; while the event is not set, hold it back."""
    try:
        while data := await reader.read(65536):
            if flows:
                await flows.wait()
            writer.write(data)
            await writer.drain()
        if flows:
            await flows.wait()
    finally:
        with suppress(RuntimeError):  # The loop may be closed already.
            writer.close()


async def _end_all_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

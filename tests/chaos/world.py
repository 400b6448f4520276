"""Three brokers, a Postgres with a standby and some workers between them, all of which may be hurt."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from cluster import KafkaCluster
from flow import WorkerProcess
from forwarder import Forwarder
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from launchers import Launcher
from publisher import Publisher
from replication import run_replicated_postgres
from services import create_topic, dead_letters_of
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from worker.kafka import patches  # noqa: F401 - without it the client cannot read headers of any name.
from worker.storage.migrate import migrate

RELEASED: Final = "stub-1"
_PARTITIONS: Final = 4
_SAFE: Final = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
_STOP_S: Final = 40
_COMMAND: Final = str(Path(sys.executable).with_name("emotion-worker"))


class Slot:
    """A place where a worker runs, with an address of the database for itself.

    Attributes:
        number: from 0 on.
        network: what is between this worker and the database.
        exits: the workers that ended as nobody had told them to, with the log of each.
    """

    def __init__(self, number: int, network: Forwarder, settings: dict[str, str], folder: Path) -> None:
        self.number = number
        self.network = network
        self.exits: list[str] = []
        self._settings = settings | {"WORKER_DATABASE_URL": _url(network)}
        self._folder = folder
        self._starts = 0
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        log = self._folder / f"worker-{self.number}-{self._starts}.log"
        self._starts += 1
        self._worker = WorkerProcess(self._settings, log)

    def kill(self) -> None:
        """SIGKILL, if there is a worker."""
        if self._worker:
            self._worker.process.kill()
            self._worker.process.wait()
            self._worker = None

    def send(self, number: signal.Signals) -> None:
        assert self._worker
        self._worker.send(number)

    def stop(self) -> None:
        """SIGTERM; any end but exit code 0 in good time is noted."""
        assert self._worker
        started = self._worker.said("starting")
        self._worker.process.terminate()
        try:
            code: int | str = self._worker.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            code = "none"
        if code != 0 and (started or code != -signal.SIGTERM):
            self._note(f"exit code {code} after SIGTERM")
        if code == "none":
            self._worker.process.kill()
            self._worker.process.wait()
        self._worker = None

    def look_after(self) -> None:
        """Note a worker that has ended by itself, and start another in its place."""
        if self._worker and (code := self._worker.process.poll()) is not None:
            self._note(f"exit code {code} by itself")
            self.start()

    def _note(self, what: str) -> None:
        log = self._folder / f"worker-{self.number}-{self._starts - 1}.log"
        self.exits.append(f"a worker ended with {what}: {log}")


class World:
    """The services and workers of a trial.

    Attributes:
        cluster: the brokers.
        servers: Postgres and its standby.
        slots: the workers.
        publisher: sends messages throughout.
        busy: what is being hurt, and must be left alone by others.
        versions: the models that were promoted, and the first one.
        settings: of the workers and commands.
        crashes: commands that ended in a trace.
        behind: the ends of the partitions that were not stored to their end when that was asked last.
    """

    def __init__(
        self, launcher: Launcher, folder: Path, stack: ExitStack, *, workers: int, seed: int, rate: int
    ) -> None:
        self._folder = folder
        self.busy: set[str] = set()
        self.versions = {RELEASED}
        self.crashes: list[str] = []
        self.behind: dict[int, int] = {}
        self.cluster = stack.enter_context(KafkaCluster(folder, launcher, nodes=3))
        self.servers = stack.enter_context(run_replicated_postgres())
        migrate(self.servers.primary.url())
        self.topic = create_topic(self.cluster.bootstrap, _PARTITIONS, replicas=3, configs=_SAFE)
        self._own = self.servers.address()
        self._engine = create_engine(_url(self._own), pool_pre_ping=True)
        stack.callback(self._engine.dispose)
        self.settings = {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": self.cluster.bootstrap,
            "WORKER_KAFKA_TOPIC": self.topic,
            "WORKER_KAFKA_GROUP_ID": f"group-of-{self.topic}",
            "WORKER_KAFKA_DEAD_LETTER_TOPIC": dead_letters_of(self.topic),
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "6000",
            "WORKER_DEAD_LETTERS_IN_A_ROW": "0",
            "WORKER_DEAD_LETTERS_SHARE": "1",
            "WORKER_HTTP_PORT": "0",
            "WORKER_LOG_LEVEL": "debug",
            "WORKER_MAX_RECORDS": "64",
            "WORKER_CHAMPION_POLL_S": "5",
            "WORKER_MODEL_CACHE": str(folder / "models"),
            "STUB_FOLLOWS": "1",
            "STUB_HASTY": "1",
        }
        self.slots = [Slot(number, self.servers.address(), self.settings, folder) for number in range(workers)]
        self.publisher = Publisher(self.cluster.bootstrap, self.topic, seed, rate)
        for slot in self.slots:
            stack.callback(slot.kill)
            slot.start()
        self.publisher.start()
        stack.callback(self.publisher.stop)

    @contextmanager
    def taking(self, what: str) -> Iterator[None]:
        """Keep something from others meanwhile."""
        self.busy.add(what)
        try:
            yield
        finally:
            self.busy.discard(what)

    def look_after_workers(self) -> None:
        for slot in self.slots:
            slot.look_after()

    def query(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run one statement and return its rows."""
        with self._engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def command(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start one of the installed commands."""
        return subprocess.Popen(
            [_COMMAND, *arguments],
            env=os.environ | {name: value for name, value in self.settings.items() if name.startswith("WORKER_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, command: "subprocess.Popen[str]", timeout_s: float = 120) -> str:
        """Return what a command says at last; a trace is noted."""
        try:
            output, _ = command.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            command.kill()
            output = f"{command.communicate()[0]}\nno end after {timeout_s:g} s"
            self.crashes.append(f"a command did not end: {output[-1000:]}")
        if "Traceback" in output:
            self.crashes.append(f"a command ended in a trace: {output[-1000:]}")
        return (output.strip().splitlines() or [""])[-1]

    def stored_to_the_end(self) -> bool:
        """Whether the database's offsets have reached the end of each partition."""
        self.look_after_workers()
        try:
            with closing(self._consumer()) as consumer:
                ends = consumer.end_offsets(_partitions(consumer, self.topic))
            stored = self.query("SELECT partition, next_offset FROM consumer_offsets WHERE topic = :t", t=self.topic)
        except (KafkaError, KeyError, OperationalError):
            return False
        self.behind = {place.partition: end for place, end in ends.items() if end}
        for row in stored:
            if self.behind.get(row["partition"]) == row["next_offset"]:
                del self.behind[row["partition"]]
        return not self.behind

    def _consumer(self) -> KafkaConsumer:
        # Replays are transactions: what an unfinished one wrote does not count.
        return KafkaConsumer(bootstrap_servers=self.cluster.bootstrap, isolation_level="read_committed")

    def read(self, topic: str) -> list[Any]:
        """Return all records of a topic."""
        with closing(self._consumer()) as consumer:
            partitions = _partitions(consumer, topic)
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            consumer.seek_to_beginning()
            records: list[Any] = []
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                for batch in consumer.poll(timeout_ms=500).values():
                    records += batch
        return records


def _url(network: Forwarder) -> str:
    return f"postgresql+psycopg://postgres@127.0.0.1:{network.port}/postgres"


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]

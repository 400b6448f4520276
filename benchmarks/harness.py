"""What the benchmarks share: the services, messages to publish, and a worker in a process of its own."""

import itertools
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from schemas.transcripts import InvalidTranscript, decode
from worker.demo.services import embedded_kafka, embedded_postgres, free_port
from worker.observability.logs import configure_logs
from worker.storage.database import connect
from worker.storage.migrate import migrate

TOPIC: Final = "transcripts"
DEAD_LETTERS: Final = "transcripts.dead-letters"
RESULTS: Final = "transcripts.emotions"
STUB: Final = "stub"
"""In place of a model's name: scores out of thin air, to measure the flow alone."""

_EXAMPLES: Final = Path(__file__).parent.parent / "examples" / "transcripts.jsonl"
_SEGMENTS: Final = 20
_JOINED: Final = (*[1] * 30, 2, *[1] * 15, 7, *[1] * 15, 3, 2)
_PATIENCE_S: Final = 600.0


class Services(NamedTuple):
    """Where the embedded broker and database are."""

    broker: str
    database_url: str
    engine: Engine

    def query(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement and return its rows."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def stored(self) -> int:
        """Return how many records the worker has stored."""
        ((count,),) = self.query("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets")
        return int(count)

    def forget(self) -> None:
        """Empty the tables that a worker fills."""
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE emotion_results, consumer_offsets"))

    def producer(self, linger_ms: int = 0) -> Any:
        """Return a producer."""
        return KafkaProducer(bootstrap_servers=self.broker, linger_ms=linger_ms, batch_size=2**18)

    def publish(self, messages: Iterable[bytes]) -> None:
        """Publish messages and return when the broker has them."""
        producer = self.producer(linger_ms=20)
        for message in messages:
            producer.send(TOPIC, value=message)
        producer.flush()
        producer.close()


@contextmanager
def services(partitions: int) -> Iterator[Services]:
    """Run a broker and a database, migrated and empty, until the context ends."""
    with embedded_kafka() as broker, embedded_postgres() as url:
        configure_logs("warning")  # Lines of the migration would stand among the results.
        migrate(url)
        admin = KafkaAdminClient(bootstrap_servers=broker)
        layout = {"num_partitions": partitions, "replication_factor": 1}
        admin.create_topics({TOPIC: layout, DEAD_LETTERS: layout | {"num_partitions": 1}, RESULTS: layout})
        admin.close()
        engine = connect(url, "benchmark")
        try:
            yield Services(broker, url, engine)
        finally:
            engine.dispose()


def example_texts() -> list[str]:
    """Return the texts of the examples, without the bad records."""
    found = []
    for line in _EXAMPLES.read_bytes().splitlines():
        try:
            found.append(decode(line, timestamp_ms=0).text)
        except InvalidTranscript:
            continue
    return found


def texts(seed: int = 0) -> Iterator[str]:
    """Yield texts, no two alike and without an end, spread in length like what recognizers write.

    They are the examples, shuffled, each with another word or two of theirs at its end, and now and then several
    in one: 17 tokens in the mean and at most about 110, where 8,742 lines of a recognizer had 16 and 126.
    """
    known = sorted(set(example_texts()))
    words = sorted({word for line in known for word in line.split()})
    shuffle = random.Random(seed).shuffle
    shuffle(known)
    shuffle(words)
    endings = (f" {first} {last}".rstrip() for last in ("", *words) for first in words)
    lines = (line + ending for ending in endings for line in known)
    for joined in itertools.cycle(_JOINED):
        yield " ".join(itertools.islice(lines, joined))


def transcripts(start: int, stop: int) -> Iterator[bytes]:
    """Yield messages number ``start`` to ``stop``: calls of 20 segments; every second message has an id."""
    for number, line in zip(range(start, stop), itertools.islice(texts(), start, stop), strict=True):
        message = {
            "text": line,
            "source": "benchmark",
            "session_id": f"call-{number // _SEGMENTS}",
            "speaker": ("customer", "agent")[number % 2],
            "segment": number % _SEGMENTS,
            "asr_confidence": 0.9,
        }
        if number % 2:
            message["id"] = f"message-{number}"
        yield msgspec.json.encode(message)


class WorkerProcess:
    """Our worker in a process of its own, so that its memory is its own."""

    def __init__(self, services: Services, model: str, **settings: str) -> None:
        self._services = services
        self._port = free_port()
        own = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        given = {
            "kafka_bootstrap_servers": services.broker,
            "kafka_session_timeout_ms": "6000",  # The embedded broker takes half of it for each join.
            "database_url": services.database_url,
            "http_port": str(self._port),
            "log_level": "warning",
            "model": model,
            **settings,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("our_worker.py"))],
            env=own | {f"WORKER_{name.upper()}": value for name, value in given.items()},
            stdout=sys.stderr,  # What the benchmark itself prints may be JSON.
        )

    def wait_for_stored(self, count: int) -> None:
        """Wait until a number of records is stored; raises as `wait_until` does."""
        self.wait_until(lambda: self._services.stored() >= count, every_s=0.02)

    def wait_until(self, done: Callable[[], bool], every_s: float) -> None:
        """Wait for something that the worker does.

        Raises:
            RuntimeError: the worker has ended, or ten minutes have passed.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not done():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker does not get on (exit code {self._process.poll()})")
            time.sleep(every_s)

    def stage_seconds(self) -> dict[str, float]:
        """Return the seconds spent in each stage since the start."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            sample.labels["stage"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "emotion_stage_seconds_sum"
        }

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Return its resident memory, as `resident_mb` does."""
        return resident_mb(self._process.pid, which)

    def cpu_seconds(self) -> float:
        """Return the CPU time that all its threads have used; source: proc_pid_stat(5), utime and stime."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it as an operator does."""
        self._process.terminate()
        self._process.wait(30)


def resident_mb(process: int | Literal["self"], which: str = "VmRSS") -> float:
    """Return a process's resident memory in megabytes; VmHWM is its peak. Source: proc_pid_status(5)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) * 1024 / 1e6


@contextmanager
def running_worker(services: Services, model: str, **settings: str) -> Iterator[WorkerProcess]:
    """Run our worker until the context ends.

    Args:
        services: what it reads from and writes to.
        model: a bundle, or STUB.
        settings: further settings, by their names without WORKER_.
    """
    worker = WorkerProcess(services, model, **settings)
    try:
        yield worker
    finally:
        worker.stop()

"""A topic, a database and the workers between them, as a test sees them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import stub_worker
from forked import ForkedProcess
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from services import PATIENCE_S, dead_letters_of, wait_for
from sqlalchemy import create_engine, text

from worker.dead_letters.headers import REPLAYED

BAD = [b'{"text": ', b'{"id": "no-text"}', b"[1, 2]"]
"""Messages that hold no transcript."""


class WorkerProcess:
    """A worker in a process of its own, with the stub for a model."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self._log = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        self.process: ForkedProcess | subprocess.Popen[bytes]
        if "PYTHONPATH" in settings:  # What is imported from there is not in the process that others are forked from.
            with log.open("wb") as output:
                command = [sys.executable, stub_worker.__file__]
                self.process = subprocess.Popen(command, env=environment | settings, stderr=output)
        else:
            self.process = ForkedProcess(stub_worker.main, environment | settings, log)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines so far."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its log lines whose event holds these words."""
        return [line for line in self.log if event in line.get("event", "")]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """The exit code, when it has ended."""
        return self.process.wait(PATIENCE_S)

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")


class Flow:
    """Publish here, look there, and start workers in between; `close` ends those that still run."""

    def __init__(self, bootstrap: str, topic: str, url: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.url = url
        self._engine = create_engine(url, pool_pre_ping=True)
        self._folder = folder
        self._workers: list[WorkerProcess] = []
        self._published = 0
        self._calls: list[list[str]] = []
        self.settings = {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "WORKER_KAFKA_TOPIC": topic,
            "WORKER_KAFKA_GROUP_ID": f"group-of-{topic}",
            "WORKER_KAFKA_DEAD_LETTER_TOPIC": dead_letters_of(topic),
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "2000",
            "WORKER_DATABASE_URL": url,
            "WORKER_HTTP_PORT": "0",
            "WORKER_LOG_LEVEL": "debug",
            "WORKER_MAX_RECORDS": "64",
        }

    @property
    def group(self) -> str:
        return self.settings["WORKER_KAFKA_GROUP_ID"]

    def publish(self, count: int) -> None:
        """Publish texts that are all different, every second one without an id."""
        numbers = range(self._published, self._published + count)
        self._published += count
        ids = ({} if number % 2 else {"id": f"id-{number}"} for number in numbers)
        self.publish_raw(
            json.dumps({"text": f"фраза номер {number}", **name}, ensure_ascii=False).encode()
            for number, name in zip(numbers, ids, strict=True)
        )

    def publish_calls(self, count: int) -> None:
        """Publish calls of two segments and more: each twice, with a segment too many at first, by its key in order."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap)
        for number in range(len(self._calls), len(self._calls) + count):
            name, segments = f"call-{number}", [f"звонок {number} реплика {at}" for at in range(2 + number % 4)]
            self._calls.append(segments)
            for texts in ([*segments, "лишнее"], segments):
                call = {"id": name, "text": " ".join(texts), "segments": [{"text": text} for text in texts]}
                producer.send(self.topic, value=json.dumps(call, ensure_ascii=False).encode(), key=name.encode())
        producer.close()

    def publish_raw(self, messages: Iterable[bytes]) -> None:
        """Publish to each partition in turn; the client alone may give a hundred messages to one of them."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap)
        partitions = cycle(sorted(producer.partitions_for(self.topic)))
        for message, partition in zip(messages, partitions, strict=False):
            producer.send(self.topic, value=message, partition=partition)
        producer.close()

    def start(self, **settings: str) -> WorkerProcess:
        """Start a worker; keyword arguments are further variables of its environment."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        worker = WorkerProcess(self.settings | settings, log)
        self._workers.append(worker)
        return worker

    def rows(self) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text("SELECT * FROM emotion_results")).mappings()]

    def query(self, statement: str) -> Any:
        """Run one statement and return its first value, if it has any."""
        with self._engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None

    def count(self) -> int:
        return int(self.query("SELECT count(*) FROM emotion_results"))

    def wait_for_rows(self, count: int) -> None:
        newest = self._workers[-1]
        if newest.process.poll() not in {None, 0, -signal.SIGKILL}:
            raise AssertionError(newest.output())
        wait_for(lambda: self.count() >= count, f"{count} rows")

    def assert_each_once(self) -> None:
        """Every published text and every segment of a call has one row."""
        texts = sorted(row["text"] for row in self.rows())
        spoken = [f"фраза номер {number}" for number in range(self._published)]
        assert texts == sorted([*spoken, *chain.from_iterable(self._calls)])

    def stored_to_the_end(self) -> bool:
        """Whether the database's offsets have reached the end of the log."""
        ends = sum(self._ends(self.topic).values())
        return int(self.query("SELECT coalesce(sum(next_offset), 0) FROM consumer_offsets")) == ends

    def dead_letters(self) -> list[Any]:
        """The letters of the dead-letter topic, without the marks that replays leave there."""
        records = self.records(dead_letters_of(self.topic))
        return [record for record in records if not any(name == REPLAYED for name, _ in record.headers)]

    def records(self, topic: str) -> list[Any]:
        """The records of a topic that a reader of committed transactions sees."""
        ends = self._ends(topic)
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        consumer.assign(list(ends))
        records: list[Any] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for batch in consumer.poll(timeout_ms=200).values():
                records += batch
        consumer.close()
        return records

    def committed(self) -> dict[int, int | None]:
        """Kafka's own offsets of the group, by partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False)
        partitions = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic)]
        offsets = {partition.partition: consumer.committed(partition) for partition in partitions}
        consumer.close()
        return offsets

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._engine.dispose()

    def _ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, isolation_level="read_committed")
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        consumer.close()
        return ends

"""A worker ends in time and with the exit code it means: while it waits, loads, or classifies a large chunk."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from commands import WORKER
from flow import Flow
from services import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

LONG = json.dumps({"text": "алло я по поводу заказа номер двенадцать он должен был приехать еще вчера " * 12}).encode()


class ReleasedWorker:
    """The installed command with the released model, on the CPU; it is gone after the context."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self._log = log
        environment = os.environ | settings | {"WORKER_DEVICE": "cpu", "WORKER_MAX_RECORDS": "4096"}
        with log.open("wb") as output:
            self.process = subprocess.Popen([WORKER, "run"], env=environment, stderr=output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_until_it_says(self, event: str) -> None:
        wait_for(lambda: event in self.output(), event)

    def wait_to_classify(self, chunks: int) -> None:
        """Wait until so many chunks have reached the model."""
        wait_for(lambda: self.output().count("classifying a chunk") >= chunks, f"chunk {chunks} in the model")


@pytest.fixture
def flow(kafka: str, topic: str, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    flow = Flow(kafka, topic, postgres_url, tmp_path)
    yield flow
    flow.close()


@pytest.fixture
def waiting_worker(flow: Flow, tmp_path: Path) -> Iterator[ReleasedWorker]:
    """A worker whose broker is away."""
    settings = flow.settings | {"WORKER_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with ReleasedWorker(settings, tmp_path / "log") as worker:
        yield worker


@pytest.fixture
def worker(flow: Flow, tmp_path: Path) -> Iterator[ReleasedWorker]:
    with ReleasedWorker(flow.settings, tmp_path / "log") as worker:
        yield worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_service_is_away_ends_the_worker_at_once(
    waiting_worker: ReleasedWorker, number: signal.Signals
) -> None:
    # What follows are ten seconds in which the client looks for the broker.
    waiting_worker.wait_until_it_says("starting")
    waiting_worker.process.send_signal(number)
    assert waiting_worker.process.wait(PATIENCE_S) == 0, waiting_worker.output()
    assert "a service that is away" not in waiting_worker.output(), "the client has looked to the end"
    assert "model is warm" not in waiting_worker.output()


def test_a_signal_while_the_model_is_loaded_ends_the_worker_at_once(worker: ReleasedWorker) -> None:
    worker.wait_until_it_says("loading the model")
    worker.process.terminate()
    assert worker.process.wait(PATIENCE_S) == 0, worker.output()
    assert "model is warm" not in worker.output()


def test_a_signal_while_the_model_is_busy_ends_in_time_with_exit_code_0(flow: Flow, tmp_path: Path) -> None:
    flow.publish_raw([LONG] * 4_000)  # Before the worker starts: its first chunk is to be a large one.
    with ReleasedWorker(flow.settings, tmp_path / "log") as worker:
        worker.wait_to_classify(1)

        worker.process.terminate()

        assert worker.process.wait(PATIENCE_S) == 0, worker.output()
        assert "work in flight did not finish in time" in worker.output()
        assert flow.count() == 0


def test_a_wrong_deployment_found_while_the_model_is_busy_ends_with_exit_code_2(
    flow: Flow, worker: ReleasedWorker
) -> None:
    with flow._engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE emotion_results")
        flow.publish(1)
        worker.wait_to_classify(1)
        flow.publish_raw([LONG] * 4_000)
        worker.wait_to_classify(2)
        connection.exec_driver_sql("DROP TABLE emotion_results CASCADE")

    assert worker.process.wait(PATIENCE_S) == 2, worker.output()
    assert "Run `emotion-worker migrate`" in worker.output().splitlines()[-1]

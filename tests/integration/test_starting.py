"""From the first check to the first poll: what goes away in between is waited for."""

import threading
from pathlib import Path
from typing import Any

import pytest
from broker import KafkaBroker
from fakes import StubClassifier
from flow import Flow
from services import create_topic, wait_for
from structlog.testing import capture_logs

import worker.composition
from worker.composition import run_worker
from worker.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("last_seen_by", ["load_classifier", "DeadLetters"])
def test_a_broker_that_goes_after_the_first_check_is_waited_for(
    own_broker: KafkaBroker, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_seen_by: str
) -> None:
    flow = Flow(own_broker.bootstrap, create_topic(own_broker.bootstrap), postgres_url, tmp_path)
    flow.publish(20)
    monkeypatch.setattr(worker.composition, "load_classifier", lambda *_: StubClassifier())
    original = getattr(worker.composition, last_seen_by)

    def then_kill(*arguments: Any) -> Any:
        made = original(*arguments)
        own_broker.kill()
        return made

    monkeypatch.setattr(worker.composition, last_seen_by, then_kill)
    monkeypatch.setattr("worker.kafka_mends.FIRST_CONTACT_MS", 500)
    for name, value in flow.settings.items():
        monkeypatch.setenv(name, value)
    stop = threading.Event()
    running = threading.Thread(target=run_worker, args=(Settings.load(),), kwargs={"stop": stop}, name="worker")
    try:
        with capture_logs() as lines:
            running.start()
            wait_for(lambda: [line for line in lines if "waiting for a service" in line["event"]], what="the outage")
            own_broker.start()
            wait_for(lambda: flow.count() == 20, 60, "the rows")
    finally:
        stop.set()
        running.join(15)
        flow.close()
    assert not running.is_alive()


def test_a_worker_told_to_stop_while_it_waits_loads_no_model(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def load(*_: Any) -> StubClassifier:
        raise AssertionError("the model is loaded")

    def check(settings: Settings, topic: str) -> None:
        """Pass; the stop comes during the last check."""
        if topic == settings.kafka_dead_letter_topic:
            stop.set()

    monkeypatch.setattr(worker.composition, "require_topic", check)
    monkeypatch.setattr(worker.composition, "load_classifier", load)
    monkeypatch.setenv("WORKER_DATABASE_URL", postgres_url)
    run_worker(Settings.load(), stop=stop)

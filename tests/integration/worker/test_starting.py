"""From the first check to the first poll: what goes away in between is waited for."""

import threading
from pathlib import Path
from typing import Any

import pytest
from broker import KafkaBroker
from fakes import StubClassifier
from flow import Flow
from probe import Probe
from services import PATIENCE_S, Postgres, as_role, create_topic, wait_for
from structlog.testing import capture_logs

import worker.run
from schemas.access import WORKER
from worker.run import run_worker
from worker.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("last_seen_by", ["load_classifier", "DeadLetters"])
def test_a_broker_that_goes_after_the_first_check_is_waited_for(
    own_broker: KafkaBroker, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_seen_by: str
) -> None:
    flow = Flow(own_broker.bootstrap, create_topic(own_broker.bootstrap), postgres_url, tmp_path)
    flow.publish(20)
    monkeypatch.setattr(worker.run, "load_classifier", lambda *_: StubClassifier())
    original = getattr(worker.run, last_seen_by)

    def then_kill(*arguments: Any) -> Any:
        made = original(*arguments)
        own_broker.kill()
        return made

    monkeypatch.setattr(worker.run, last_seen_by, then_kill)
    monkeypatch.setattr("worker.kafka.patches.FIRST_CONTACT_MS", 500)
    for name, value in flow.settings.items():
        monkeypatch.setenv(name, value)
    stop = threading.Event()
    running = threading.Thread(target=run_worker, args=(Settings.load(),), kwargs={"stop": stop}, name="worker")
    try:
        with capture_logs() as lines:
            running.start()
            wait_for(lambda: [line for line in lines if "waiting for a service" in line["event"]], what="the outage")
            own_broker.start()
            wait_for(lambda: flow.count() == 20, "the rows")
    finally:
        stop.set()
        running.join(PATIENCE_S)
        flow.close()
    assert not running.is_alive()


def test_a_worker_that_starts_while_postgres_is_away_is_alive_and_says_why_it_is_not_ready(
    kafka: str, topic: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    flow = Flow(kafka, topic, own_postgres.url(), tmp_path)
    flow.publish(20)
    own_postgres.stop()
    worker = flow.start()
    probe = Probe(worker)
    try:
        wait_for(lambda: "waiting for postgres since" in probe.get("/readyz")[1], "the reason")
        assert probe.get("/readyz")[0] == 503
        assert probe.get("/healthz") == (200, "ok\n")
        own_postgres.start()
        wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), "readiness")
        flow.wait_for_rows(20)
        assert worker.stop() == 0
    finally:
        flow.close()


def test_a_worker_that_starts_while_kafka_is_away_is_alive_and_says_why_it_is_not_ready(
    own_broker: KafkaBroker, postgres_url: str, tmp_path: Path
) -> None:
    flow = Flow(own_broker.bootstrap, create_topic(own_broker.bootstrap), postgres_url, tmp_path)
    own_broker.kill()
    worker = flow.start(STUB_HASTY="1")
    probe = Probe(worker)
    try:
        wait_for(lambda: "waiting for kafka since" in probe.get("/readyz")[1], "the reason")
        assert probe.get("/healthz") == (200, "ok\n")
        own_broker.start()
        wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), "readiness")
        assert worker.stop() == 0
    finally:
        flow.close()


def test_a_worker_told_to_stop_while_it_waits_loads_no_model(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    def load(*_: Any) -> StubClassifier:
        raise AssertionError("the model is loaded")

    def check(*_: Any) -> None:
        """Pass; the stop comes during the last check."""
        stop.set()

    monkeypatch.setattr(worker.run, "require_topics", check)
    monkeypatch.setattr(worker.run, "load_classifier", load)
    monkeypatch.setenv("WORKER_DATABASE_URL", as_role(postgres_url, WORKER))
    run_worker(Settings.load(), stop=stop)

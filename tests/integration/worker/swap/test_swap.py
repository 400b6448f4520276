"""A running worker swaps models while messages flow: each transcript once, by one model at a time."""

import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import BOTH, make_bundle
from flow import Flow
from probe import Probe
from services import PATIENCE_S, wait_for
from structlog.testing import capture_logs

import worker.inference.load
from registry.lifecycle import promote, rollback
from registry.publish import register
from schemas.emotions import EMOTIONS
from training.database import connect
from worker.errors import ConfigurationError
from worker.inference.classifier import EmotionClassifier, Reading
from worker.run import run_worker
from worker.settings import Settings

pytestmark = pytest.mark.kafka


class Running:
    """A worker in a thread, with real models and a registry whose store is `store`."""

    def __init__(self, flow: Flow, url: str, folder: Path) -> None:
        self.lines: list[Any] = []
        self.registry = connect(url)
        self._flow = flow
        self.store = folder / "store"
        self._folder = folder
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        given = {name.removeprefix("WORKER_").lower(): value for name, value in flow.settings.items()}
        self.settings = {**given, "model_cache": folder / "cache", "champion_poll_s": 3600, "device": "cpu"}

    def register(self, *names: str, store: str | None = None, **changed: Any) -> None:
        for name in names:
            make_bundle(self._folder / name, version=name, **changed)
            register(self.registry, self._folder / name, store or str(self.store))

    def start(self, **settings: Any) -> None:
        arguments = (Settings.load(**self.settings | settings),)
        self._thread = threading.Thread(target=run_worker, args=arguments, kwargs={"stop": self._stop}, name="worker")
        self._thread.start()

    def said(self, event: str) -> list[Any]:
        return [line for line in self.lines if event in line["event"]]

    def wait_for_rows(self, count: int) -> None:
        wait_for(lambda: self._lives() and self._flow.count() >= count, f"{count} rows")

    def wait_for_the_end(self) -> None:
        wait_for(lambda: self._lives() and self._flow.stored_to_the_end(), "the end of the log")

    def _lives(self) -> bool:
        assert self._thread
        assert self._thread.is_alive(), self.lines[-1]
        return True

    def wait_for(self, version: str, swaps: int) -> None:
        """Wait for the log's word that a version serves, after a number of swaps."""
        wait_for(lambda: len(self.said("another model serves")) == swaps, f"swap {swaps}")
        assert self.said("another model serves")[-1]["version"] == version

    def close(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive()
        self.registry.dispose()


@pytest.fixture
def running(flow: Flow, postgres_url: str, tmp_path: Path) -> Iterator[Running]:
    running = Running(flow, postgres_url, tmp_path)
    with capture_logs() as lines:
        running.lines = lines
        yield running
        running.close()


def in_order(flow: Flow) -> dict[int, list[str]]:
    """Return the versions that follow on each other in each partition."""
    rows = sorted(flow.rows(), key=lambda row: (row["kafka_partition"], row["kafka_offset"]))
    return {
        partition: [version for version, _ in groupby(row["model_version"] for row in group)]
        for partition, group in groupby(rows, key=lambda row: row["kafka_partition"])
    }


def publish_until(flow: Flow, running: Running, version: str, swaps: int) -> None:
    """Keep messages flowing until a version serves, and a hundred more, which it alone classifies."""
    while len(running.said("another model serves")) < swaps:
        flow.publish(40)
    running.wait_for(version, swaps)
    running.wait_for_the_end()
    flow.publish(100)
    running.wait_for_the_end()


def test_messages_that_flow_during_a_promotion_and_a_rollback_are_each_stored_once(
    flow: Flow, running: Running
) -> None:
    running.register("one", "two")
    promote(running.registry, "one")
    flow.publish(100)
    running.start()
    running.wait_for_rows(100)
    promote(running.registry, "two")
    publish_until(flow, running, "two", swaps=1)
    rollback(running.registry)
    publish_until(flow, running, "one", swaps=2)

    flow.assert_each_once()
    assert flow.dead_letters() == []
    assert in_order(flow) == {key: ["one", "two", "one"] for key in range(4)}
    newest = sorted(flow.rows(), key=lambda row: row["processed_at"])[-100:]
    assert {row["model_version"] for row in newest} == {"one"}
    metrics = Probe(running).metrics()
    assert metrics["emotion_model_info", "one"] == 1
    assert metrics["emotion_model_behind",] == 0
    assert metrics["emotion_model_swap_failures_total",] == 0


def test_a_broken_bundle_leaves_the_old_model_serving_until_it_is_put_right(flow: Flow, running: Running) -> None:
    running.register("one", "two")
    promote(running.registry, "one")
    running.start(champion_poll_s=0.2)
    flow.publish(50)
    running.wait_for_rows(50)
    tokenizer = running.store / "two" / "tokenizer.json"
    whole = tokenizer.read_bytes()
    tokenizer.write_text("{}")
    promote(running.registry, "two")
    probe = Probe(running)
    wait_for(lambda: probe.metrics()["emotion_model_swap_failures_total",] >= 2, "two tries")
    flow.publish(50)
    running.wait_for_rows(100)
    assert {row["model_version"] for row in flow.rows()} == {"one"}
    assert probe.metrics()["emotion_model_behind",] == 1
    [line] = running.said("cannot be served: the old model goes on serving")
    assert "a file was damaged" in line["error"]

    tokenizer.write_bytes(whole)
    running.wait_for("two", swaps=1)
    flow.publish(50)
    running.wait_for_rows(150)
    assert probe.metrics()["emotion_model_behind",] == 0
    flow.assert_each_once()


def test_a_champion_that_lacks_the_wanted_convention_is_refused_and_the_old_model_goes_on(
    flow: Flow, running: Running
) -> None:
    running.register("both", **BOTH)
    running.register("old")
    promote(running.registry, "both")
    running.start(champion_poll_s=0.2, convention="calls")
    flow.publish(50)
    running.wait_for_rows(50)
    promote(running.registry, "old")
    wait_for(lambda: running.said("cannot be served: the old model goes on serving"), "the refusal")
    flow.publish(50)
    running.wait_for_rows(100)
    [line] = running.said("cannot be served: the old model goes on serving")
    assert "knows no convention 'calls': name one of public" in line["error"]
    assert {(row["model_version"], row["convention"]) for row in flow.rows()} == {("both", "calls")}
    assert Probe(running).metrics()["emotion_model_behind",] == 1


def test_a_swap_to_a_model_of_two_conventions_follows_its_default_one_and_each_row_says_which(
    flow: Flow, running: Running
) -> None:
    running.register("old")
    running.register("both", **BOTH)
    promote(running.registry, "old")
    flow.publish(50)
    running.start()
    running.wait_for_rows(50)
    promote(running.registry, "both")
    publish_until(flow, running, "both", swaps=1)
    assert {(row["model_version"], row["convention"]) for row in flow.rows()} == {("old", "public"), ("both", "calls")}


@pytest.mark.parametrize(("wanted", "named"), [("", "calls"), ("public", "public")])
def test_the_settings_choose_convention_and_rule_and_each_row_names_the_convention(
    flow: Flow, running: Running, tmp_path: Path, wanted: str, named: str
) -> None:
    mine = make_bundle(tmp_path / "mine", version="mine", **BOTH)
    running.start(model=mine, convention=wanted, neutral="exclusive")
    flow.publish(50)
    running.wait_for_rows(50)
    rows = flow.rows()
    expected = EmotionClassifier(mine, "cpu", reading=Reading(named)).classify([row["text"] for row in rows])
    found = np.array([[row[emotion] for emotion in EMOTIONS] for row in rows])
    assert {row["convention"] for row in rows} == {named}
    assert np.abs(found - expected).max() < 0.02
    assert all(row["emotions"] == ["neutral"] or (row["emotions"] and "neutral" not in row["emotions"]) for row in rows)


def test_before_there_is_a_champion_the_released_model_serves(
    flow: Flow, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = make_bundle(tmp_path / "released", version="released")
    monkeypatch.setattr(worker.inference.load, "released_model", lambda: released)
    running.register("one")
    flow.publish(50)
    running.start()
    running.wait_for_rows(50)
    promote(running.registry, "one")
    publish_until(flow, running, "one", swaps=1)
    assert in_order(flow) == {key: ["released", "one"] for key in range(4)}


def test_a_pinned_model_serves_whatever_is_promoted(flow: Flow, running: Running, tmp_path: Path) -> None:
    running.register("one")
    promote(running.registry, "one")
    running.start(model=make_bundle(tmp_path / "mine", version="mine"))
    flow.publish(50)
    running.wait_for_rows(50)
    assert {row["model_version"] for row in flow.rows()} == {"mine"}
    assert "champion" not in {thread.name for thread in threading.enumerate()}


def test_a_store_that_is_away_at_the_start_is_waited_for(
    flow: Flow, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.register("one", store=f"memory://{tmp_path.name}")
    promote(running.registry, "one")
    flow.publish(50)

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr("fsspec.implementations.memory.MemoryFileSystem.ls", away)
        running.start()
        wait_for(lambda: running.said("waiting for a service that is away"), "the wait")
    assert running.said("waiting for a service that is away")[0]["service"] == "the champion"
    running.wait_for_rows(50)
    assert {row["model_version"] for row in flow.rows()} == {"one"}
    assert [path.name.startswith("one-") for path in (tmp_path / "cache").iterdir()] == [True]


def test_a_worker_that_starts_on_a_broken_champion_serves_the_one_before_until_it_is_put_right(
    flow: Flow, running: Running
) -> None:
    running.register("one", "two")
    for name in ("one", "two"):
        promote(running.registry, name)
    tokenizer = running.store / "two" / "tokenizer.json"
    whole = tokenizer.read_bytes()
    tokenizer.write_text("{}")
    flow.publish(50)
    running.start(champion_poll_s=0.2)
    running.wait_for_rows(50)
    assert {row["model_version"] for row in flow.rows()} == {"one"}
    probe = Probe(running)
    wait_for(lambda: probe.metrics()["emotion_model_swap_failures_total",] >= 2, "two more tries")
    assert probe.metrics()["emotion_model_behind",] == 1
    [line] = running.said("the champion cannot be served")
    assert (line["champion"], line["serving"], line["log_level"]) == ("two", "one", "error")

    tokenizer.write_bytes(whole)
    running.wait_for("two", swaps=1)
    flow.publish(50)
    running.wait_for_rows(100)
    assert probe.metrics()["emotion_model_behind",] == 0
    flow.assert_each_once()


def test_a_worker_ends_where_neither_the_champion_nor_any_other_model_can_be_served(
    flow: Flow, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.inference.load, "released_model", lambda: str(tmp_path))
    running.register("one")
    promote(running.registry, "one")
    (running.store / "one" / "tokenizer.json").write_text("{}")
    settings = Settings.load(**running.settings)
    with pytest.raises(ConfigurationError, match=r"champion one cannot be served: .*Or roll back.*WORKER_MODEL") as end:
        run_worker(settings, stop=threading.Event())
    assert "\n" not in str(end.value)
    assert flow.count() == 0

"""The worker follows the registry: told or by a look, through outages, and never onto what cannot serve."""

import os
import threading
import time
from pathlib import Path

import pytest
from follower import Loaded, Rig, failing, lines_fixture, rig_fixture, said
from services import PATIENCE_S, Postgres, wait_for

from registry.lifecycle import promote, rollback
from registry.versions import CHANNEL, ModelVersion
from worker.errors import ConfigurationError
from worker.inference.model_slot import Serving
from worker.records import Classifier

rig = rig_fixture()
lines = lines_fixture()


def test_a_promotion_and_a_rollback_are_heeded_when_postgres_tells(rig: Rig, lines: list[dict[str, object]]) -> None:
    rig.register("one", "two")
    promote(rig.registry, "one")
    rig.start()
    rig.wait_for("one")
    promote(rig.registry, "two")
    rig.wait_for("two")
    rollback(rig.registry)
    rig.wait_for("one")
    wait_for(lambda: len(said(lines, "another model serves")) == 3, what="the log")
    swaps = [(line["before"], line["version"]) for line in said(lines, "another model serves")]
    assert swaps == [("released", "one"), ("one", "two"), ("two", "one")]
    assert rig.figure("emotion_model_info", version="one") == 1
    assert rig.figure("emotion_model_info", version="two") is None
    assert rig.figure("emotion_model_behind") == 0
    assert rig.figure("emotion_model_swap_failures_total") == 0


def test_a_promotion_that_nobody_told_of_is_found_by_a_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.swap.follower.CHANNEL", "where_nobody_speaks")
    rig.register("one", "two")
    rig.start(poll_s=0.1)
    promote(rig.registry, "one")
    rig.wait_for("one")
    promote(rig.registry, "two")
    rig.wait_for("two")


def test_without_a_champion_and_with_the_one_that_serves_nothing_is_loaded(rig: Rig) -> None:
    looks = threading.Semaphore(0)

    class Watched(Serving):
        @property
        def classifier(self) -> Classifier:
            looks.release()
            return Loaded("one")

        @classifier.setter
        def classifier(self, classifier: Classifier) -> None: ...

    def refuse(row: ModelVersion) -> Classifier:
        raise AssertionError(f"{row.version} is loaded")

    rig.serving, rig.load = Watched(Loaded("one")), refuse
    rig.register("one")
    rig.start(poll_s=0.05)
    assert all(looks.acquire(timeout=PATIENCE_S) for _ in range(3))
    promote(rig.registry, "one")
    assert all(looks.acquire(timeout=PATIENCE_S) for _ in range(3))
    assert rig.figure("emotion_model_behind") == 0
    assert rig.figure("emotion_model_swap_failures_total") == 0


def test_a_champion_that_does_not_load_leaves_the_old_one_serving_and_is_told_of_once(
    rig: Rig, lines: list[dict[str, object]]
) -> None:
    rig.register("one", "two")
    rig.start(poll_s=0.05)
    promote(rig.registry, "one")
    rig.wait_for("one")
    loads, rig.load = rig.load, failing(ConfigurationError("the weights cannot be loaded"))
    promote(rig.registry, "two")
    wait_for(lambda: (rig.figure("emotion_model_swap_failures_total") or 0) >= 3, what="three tries")
    assert rig.serving.classifier.version == "one"
    assert rig.figure("emotion_model_behind") == 1
    [line] = said(lines, "cannot be served: the old model goes on serving")
    assert (line["champion"], line["serving"], line["log_level"]) == ("two", "one", "error")
    assert "models rollback" in str(line["remedy"])
    assert line["error"] == "the weights cannot be loaded"
    rig.load = loads
    rig.wait_for("two")
    wait_for(lambda: rig.figure("emotion_model_behind") == 0, what="no more alert")


def test_whatever_a_foreign_bundle_makes_a_library_raise_serving_goes_on(rig: Rig) -> None:
    rig.register("one")
    loads, rig.load = rig.load, failing(ZeroDivisionError())
    promote(rig.registry, "one")
    rig.start(poll_s=0.05)
    wait_for(lambda: rig.figure("emotion_model_swap_failures_total"), what="a try")
    rig.load = loads
    rig.wait_for("one")


def test_what_was_rolled_back_while_it_was_loaded_never_serves(rig: Rig, lines: list[dict[str, object]]) -> None:
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    loaded: list[str] = []

    def load(row: ModelVersion) -> Classifier:
        if not loaded:
            rollback(rig.registry)
        loaded.append(row.version)
        return Loaded(row.version)

    rig.load = load
    rig.start()
    rig.wait_for("one")
    wait_for(lambda: said(lines, "another model serves"), what="the log")
    assert loaded == ["two", "one"]
    assert [line["version"] for line in said(lines, "another model serves")] == ["one"]


def test_a_lost_connection_is_made_anew_and_listens_again(
    own_postgres: Postgres, tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    rig = Rig(own_postgres.url(), tmp_path)
    try:
        rig.register("one", "two")
        promote(rig.registry, "one")
        rig.start()
        rig.wait_for("one")
        own_postgres.stop()
        wait_for(lambda: said(lines, "the registry cannot be read"), what="the outage to be seen")
        own_postgres.start()
        promote(rig.registry, "two")
        rig.wait_for("two")
    finally:
        rig.close()


def test_a_follower_ends_at_once_while_it_waits(rig: Rig) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    rig.start()
    rig.wait_for("one")
    rig.close()
    assert "champion" not in {thread.name for thread in threading.enumerate()}


def test_what_is_broken_is_not_downloaded_at_each_look_but_when_postgres_tells(
    rig: Rig, lines: list[dict[str, object]]
) -> None:
    """A bundle of a wrong checksum is downloaded as a whole before it is refused, and not kept."""
    downloads = threading.Semaphore(0)

    def refuse(_: ModelVersion) -> Classifier:
        downloads.release()
        raise ConfigurationError("another checksum")

    rig.register("one", "two")
    promote(rig.registry, "one")
    rig.load = refuse
    rig.start()
    assert downloads.acquire(timeout=PATIENCE_S)
    wait_for(lambda: said(lines, "cannot be served"), what="the refusal")
    for _ in range(3):
        rig.look()
    assert rig.serving.classifier.version == "released"
    assert not downloads.acquire(blocking=False)
    assert rig.figure("emotion_model_swap_failures_total") == 1
    assert rig.figure("emotion_model_behind") == 1
    with rig.registry.begin() as connection:
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
    assert downloads.acquire(timeout=PATIENCE_S)
    promote(rig.registry, "two")
    assert downloads.acquire(timeout=PATIENCE_S), "another version is tried at once"


def test_the_cache_holds_what_serves_and_what_a_rollback_would_load(rig: Rig) -> None:
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    rig.serving = Serving(Loaded("two"))
    months_ago = time.time() - 90 * 86_400
    folders = {name: rig.cache / f"{name}-0123456789ab" for name in ("one", "two", "other")}
    for folder in folders.values():
        folder.mkdir(parents=True)
        os.utime(folder, (months_ago, months_ago))
    rig.start(poll_s=0.05)
    wait_for(lambda: min(folders[name].stat().st_mtime for name in ("one", "two")) > time.time() - 60, what="a look")
    assert folders["other"].stat().st_mtime < time.time() - 60

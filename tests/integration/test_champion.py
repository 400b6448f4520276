"""The worker follows the registry: told or by a look, through outages, and never onto what cannot serve."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundles import make_bundle
from fakes import StubClassifier
from services import Postgres, wait_for
from sqlalchemy import Engine
from structlog.testing import capture_logs

import training.database
from registry.locations import checksum
from registry.released import NAME
from registry.versions import CHANNEL, ModelVersion
from schemas.bundle import MANIFEST
from training.registry import champion, promote, register, rollback
from worker.champion import Follower, Load, Refusal, fetch_version, load_champion
from worker.composition import released_model
from worker.database import connect
from worker.errors import Away, ConfigurationError
from worker.metrics import Metrics
from worker.records import Classifier
from worker.serving import Serving
from worker.settings import Settings

NEVER_S = 3600.0
"""Between looks, where a notification is to tell."""


class Loaded(StubClassifier):
    def __init__(self, version: str) -> None:
        super().__init__()
        self.version = version


class Rig:
    """A follower of a real registry that serves stubs; `load` may be replaced."""

    def __init__(self, url: str, folder: Path) -> None:
        self.engine = connect(url, "test")
        self.registry: Engine = training.database.connect(url)
        self.serving = Serving(Loaded("released"))
        self.metrics = Metrics()
        self.load: Load = lambda row: Loaded(row.version)
        self.cache = folder / "cache"
        self._folder = folder
        self._follower: Follower | None = None

    def register(self, *names: str, store: str | None = None) -> None:
        for name in names:
            make_bundle(self._folder / name, version=name)
            register(self.registry, self._folder / name, store)

    def start(self, poll_s: float = NEVER_S, told: Refusal | None = None) -> None:
        settings = Settings(champion_poll_s=poll_s, model_cache=self.cache)
        self._follower = Follower(self.engine, self.serving, self._load, self.metrics, settings)
        self._follower.start(told)

    def look(self) -> None:
        """Have the follower look once more."""
        assert self._follower
        with self.engine.connect() as connection:
            self._follower.look(connection)

    def _load(self, row: ModelVersion) -> Classifier:
        return self.load(row)

    def wait_for(self, version: str) -> None:
        wait_for(lambda: self.serving.classifier.version == version, what=f"{version} to serve")

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def close(self) -> None:
        if self._follower:
            self._follower.close(timeout_s=30)
        for engine in (self.engine, self.registry):
            engine.dispose()


@pytest.fixture
def rig(postgres_url: str, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(postgres_url, tmp_path)
    yield rig
    rig.close()


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """What is logged."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]  # structlog says that each line may be changed.


def said(lines: list[dict[str, object]], words: str) -> list[dict[str, object]]:
    return [line for line in lines if words in str(line["event"])]


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
    monkeypatch.setattr("worker.champion.CHANNEL", "where_nobody_speaks")
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
    assert all(looks.acquire(timeout=30) for _ in range(3))
    promote(rig.registry, "one")
    assert all(looks.acquire(timeout=30) for _ in range(3))
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


def released() -> Classifier:
    return Loaded("released")


def test_a_worker_begins_with_the_champion_and_waits_for_it_where_it_is_away(rig: Rig) -> None:
    assert load_champion(rig.engine, rig.load, released).classifier.version == "released"
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    classifier, refusal = load_champion(rig.engine, rig.load, failing(AssertionError("what was released is loaded")))
    assert (classifier.version, refusal) == ("two", None)
    with pytest.raises(Away, match="the store is away"):
        load_champion(rig.engine, failing(Away("the store is away")), released)


def refusing(*versions: str, error: Exception) -> Load:
    def load(row: ModelVersion) -> Classifier:
        if row.version in versions:
            raise error
        return Loaded(row.version)

    return load


@pytest.mark.parametrize("error", [ConfigurationError("cut short."), ZeroDivisionError("cut short")])
def test_a_worker_begins_with_the_champion_before_where_the_champion_cannot_be_served_and_then_with_the_released_one(
    rig: Rig, lines: list[dict[str, object]], error: Exception
) -> None:
    rig.register("one", "two")
    for name in ("one", "two"):
        promote(rig.registry, name)
    for broken, serving in ((("two",), "one"), (("one", "two"), "released")):
        classifier, refusal = load_champion(rig.engine, refusing(*broken, error=error), released)
        assert (classifier.version, refusal) == (serving, Refusal("two", type(error)))
        [line] = said(lines, "the champion cannot be served: another model stands in")
        assert (line["champion"], line["serving"], line["error"]) == ("two", serving, "cut short")
        assert "models rollback" in str(line["remedy"])
        lines.clear()


def test_where_nothing_at_all_can_be_served_the_worker_ends_with_what_is_wrong_with_the_champion(rig: Rig) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    broken = failing(ConfigurationError("cut short."))
    with pytest.raises(ConfigurationError, match=r"champion one cannot be served: cut short\. Or roll back .*WORKER_M"):
        load_champion(rig.engine, broken, broken)


def test_a_champion_that_was_refused_at_the_start_is_tried_again_and_not_told_of_again(
    rig: Rig, lines: list[dict[str, object]]
) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    loads, rig.load = rig.load, failing(ConfigurationError("cut short"))
    rig.start(0.05, Refusal("one", ConfigurationError))
    wait_for(lambda: (rig.figure("emotion_model_swap_failures_total") or 0) >= 2, what="two tries")
    assert rig.figure("emotion_model_behind") == 1
    assert said(lines, "cannot be served") == []
    rig.load = loads
    rig.wait_for("one")


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
    assert downloads.acquire(timeout=30)
    wait_for(lambda: said(lines, "cannot be served"), what="the refusal")
    for _ in range(3):
        rig.look()
    assert rig.serving.classifier.version == "released"
    assert not downloads.acquire(blocking=False)
    assert rig.figure("emotion_model_swap_failures_total") == 1
    assert rig.figure("emotion_model_behind") == 1
    with rig.registry.begin() as connection:
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
    assert downloads.acquire(timeout=30)
    promote(rig.registry, "two")
    assert downloads.acquire(timeout=30), "another version is tried at once"


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


def test_the_released_bundle_is_taken_from_beside_the_code_wherever_it_was_registered(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.register("one")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    row = row._replace(location="/home/another/runs/models/one")
    with pytest.raises(ConfigurationError, match="holds no complete bundle"):
        fetch_version(row, tmp_path)
    monkeypatch.setattr("registry.released.released_model", lambda: tmp_path / "one")
    assert fetch_version(row, tmp_path) == str(tmp_path / "one")
    assert fetch_version(row._replace(location=""), tmp_path) == str(tmp_path / "one")
    for another in ({"data_fingerprint": "another"}, {"version": "two"}, {"checksum": "another"}):
        with pytest.raises(ConfigurationError, match="holds no complete bundle"):
            fetch_version(row._replace(**another), tmp_path)


def test_files_that_are_not_those_that_were_registered_are_refused_and_not_kept(rig: Rig, tmp_path: Path) -> None:
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    assert row.checksum == checksum(str(tmp_path / "one"))
    folder = Path(fetch_version(row, rig.cache))
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert fetch_version(row._replace(checksum=None), rig.cache) == str(folder), "it was registered without one"
    with pytest.raises(ConfigurationError, match=r"holds the bundle of checksum .*Copy the bundle there anew"):
        fetch_version(row, rig.cache)
    assert list(rig.cache.iterdir()) == []
    assert fetch_version(row, rig.cache) == str(folder)


def test_a_bundle_is_fetched_only_if_it_is_the_one_that_was_registered(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    folder = Path(fetch_version(row, Path("~/cache")))
    assert folder.parent == tmp_path / "home" / "cache"
    assert (folder / MANIFEST).read_bytes() == (tmp_path / "one" / MANIFEST).read_bytes()
    with pytest.raises(ConfigurationError, match="fingerprint none, registered is another"):
        fetch_version(row._replace(data_fingerprint="another"), tmp_path)
    with pytest.raises(ConfigurationError, match="version one, registered is two"):
        fetch_version(row._replace(version="two"), tmp_path)
    with pytest.raises(ConfigurationError, match="was pruned"):
        fetch_version(row._replace(location=""), tmp_path)
    with pytest.raises(ConfigurationError, match="Protocol not known: nowhere"):
        fetch_version(row._replace(location="nowhere://one"), tmp_path)


def test_a_store_that_does_not_answer_is_away(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.register("one", store=f"memory://{tmp_path.name}")
    promote(rig.registry, "one")
    row = champion(rig.registry)
    assert row
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.ls", failing(ConnectionResetError("no line")))
    with pytest.raises(Away, match="no line"):
        fetch_version(row, tmp_path)


def test_the_released_model_lies_beside_the_code_or_where_an_installation_keeps_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(released_model()).name == NAME
    monkeypatch.setattr("registry.released.__file__", str(tmp_path / "code" / "registry" / "released.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "installed"))
    with pytest.raises(ConfigurationError, match=r"neither .*/code/.* nor .*/installed/.* Set WORKER_MODEL"):
        released_model()
    installed = tmp_path / "installed" / "share" / "asr-emotions" / "models" / NAME
    installed.mkdir(parents=True)
    assert released_model() == str(installed)


def failing(error: Exception) -> Callable[..., Classifier]:
    def fail(*_: object, **__: object) -> Classifier:
        raise error

    return fail

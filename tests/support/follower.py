"""The worker's follower of the registry, which is real, with stubs for the models that it loads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import make_bundle
from fakes import StubClassifier
from services import PATIENCE_S, wait_for
from sqlalchemy import Engine
from structlog.testing import capture_logs

import training.database
from registry.publish import register
from registry.versions import ModelVersion
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Classifier
from worker.settings import Settings
from worker.storage.database import connect
from worker.swap.follower import Follower, Load, Refusal

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
            self._follower.close(timeout_s=PATIENCE_S)
        for engine in (self.engine, self.registry):
            engine.dispose()


def failing(error: Exception) -> Callable[..., Classifier]:
    def fail(*_: object, **__: object) -> Classifier:
        raise error

    return fail


def said(lines: list[dict[str, object]], words: str) -> list[dict[str, object]]:
    return [line for line in lines if words in str(line["event"])]


def rig_fixture() -> Any:
    """Make a fixture: a follower of the test's own database."""

    @pytest.fixture
    def rig(postgres_url: str, tmp_path: Path) -> Iterator[Rig]:
        rig = Rig(postgres_url, tmp_path)
        yield rig
        rig.close()

    return rig


def lines_fixture() -> Any:
    """Make a fixture: what is logged."""

    @pytest.fixture
    def lines() -> Iterator[list[dict[str, object]]]:
        """What is logged."""
        with capture_logs() as lines:
            yield lines  # type: ignore[misc]  # structlog says that each line may be changed.

    return lines

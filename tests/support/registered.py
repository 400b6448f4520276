"""Bundles that are registered, and what state they are in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import make_bundle
from sqlalchemy import Engine

from registry.lifecycle import versions
from registry.publish import register

Registered = Callable[..., list[str]]


def registered_fixture() -> Any:
    """Make a fixture that registers bundles in the database of the fixture `engine`."""

    @pytest.fixture
    def registered(engine: Engine, tmp_path: Path) -> Registered:
        """Registers bundles of the given versions, copied into the store `tmp_path / "store"`."""

        def register_all(*names: str) -> list[str]:
            for at, name in enumerate(names):
                folder = tmp_path / f"made-{name}"
                make_bundle(folder, version=name, created_at=f"2026-01-0{at + 1}T00:00:00Z", metrics={"at": at})
                register(engine, folder, str(tmp_path / "store"))
            return list(names)

        return register_all

    return registered


def made_fixture() -> Any:
    """Make a fixture that makes a bundle of a given version, and registers nothing."""

    @pytest.fixture
    def made(tmp_path: Path) -> Callable[[str], Path]:
        def make(name: str) -> Path:
            make_bundle(tmp_path / "made" / name, version=name)
            return tmp_path / "made" / name

        return make

    return made


def states(engine: Engine) -> dict[str, str]:
    return {row.version: row.state for row in versions(engine)}

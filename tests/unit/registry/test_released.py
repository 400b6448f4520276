"""One way to name a bundle, for every command and setting."""

from pathlib import Path

import pytest

from registry.released import named_folder, released_model
from training.model_facts import facts


def test_a_short_name_is_a_released_bundle() -> None:
    assert named_folder("tiny") == released_model("ru-emotions-tiny")


def test_any_other_name_is_a_folder() -> None:
    assert named_folder("models/mine") == Path("models/mine")


def test_a_folder_that_is_there_comes_before_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert named_folder("tiny") == Path("tiny")


def test_facts_are_told_of_a_short_name() -> None:
    assert facts("tiny") == facts(str(released_model("ru-emotions-tiny")))

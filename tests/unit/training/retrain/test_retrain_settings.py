"""How a retraining is set: the champion's recipe below, the user's on top."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from manifests import manifest

from training.errors import UnusableRecipe
from training.fit.settings import Taken
from training.recipes import merge_recipe
from training.retrain.gate import Limits
from training.retrain.settings import read_settings
from training.settings import Learning


def test_a_run_from_the_champion_learns_gently() -> None:
    settings = read_settings(None)
    assert settings.learning.learning_rate < Learning().learning_rate
    assert settings.learning.passes("calls") < Learning().passes("ru_go_emotions")
    assert settings.teaching.folds == 0
    assert settings.gate.limits() == Limits()


def test_a_run_from_the_base_learns_as_a_first_fit_does() -> None:
    assert read_settings(None, ["start=base"]).learning == Learning()


def test_ones_own_recipe_lies_on_top_of_the_champions(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("min_labels: 50\nlearning: {epochs: {calls: 9}}\ngate: {margin: 0.01}\n")
    settings = read_settings(str(recipe), ["seed=3"], public=["set"], champion=None)
    below = merge_recipe("retrain")["learning"]
    assert (settings.min_labels, settings.seed, settings.public) == (50, 3, ("set",))
    assert (settings.learning.passes("calls"), settings.learning.passes("others")) == (9, below["epochs"]["other"])
    assert settings.learning.learning_rate == below["learning_rate"]
    assert settings.gate.limits() == Limits(margin=0.01)


def test_the_candidate_is_fitted_from_the_champion_or_from_the_base() -> None:
    taken = Taken(at=datetime(2026, 1, 1, tzinfo=UTC), learnt_whole=("ru_go_emotions",))
    places: dict[str, Any] = {"champion": Path("champion"), "output": Path("new")}
    places |= {"data": ("a.jsonl",), "taken": taken, "manifest": manifest(base_model="encoder", convention="calls")}
    warm = read_settings(None, ["seed=3"]).to_fit(**places)
    assert (warm.base, warm.base_name, warm.warm_start) == ("champion", "encoder", True)
    assert (warm.measured, warm.convention) == (("validation",), "calls")
    assert (warm.seed, warm.taken) == (3, taken)
    cold = read_settings(None, ["start=base", "base=another"]).to_fit(**places)
    assert (cold.base, cold.base_name, cold.warm_start) == ("another", None, False)


def test_bundles_lie_with_the_work_unless_a_store_is_named() -> None:
    assert read_settings(None, work=Path("there")).bundles == "there/models"
    assert read_settings(None, store="s3://bucket").bundles == "s3://bucket"


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("start=anything", "start: input should be 'champion' or 'base'"),
        ("min_labels=0", "min_labels: input should be greater than or equal to 1"),
        ("gate.fall=-1", "gate.fall: input should be greater"),
        ("gate.speed=1", "gate.speed: extra inputs are not permitted"),
        ("name=a/b", "name: string should match pattern"),
        ("data=[x]", "data: extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_named(override: str, complaint: str) -> None:
    with pytest.raises(UnusableRecipe, match=complaint):
        read_settings(None, [override])

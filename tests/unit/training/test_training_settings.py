"""Recipes and their settings: what is read, what is refused, and the page that lists them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from training.errors import UnusableRecipe
from training.fit.settings import Taken
from training.recipes import FOLDER, read_recipe, write_recipe
from training.settings import Augmentation, Learning, Teaching

GIVEN = {"data": ["set"], "base": "encoder", "output": Path("unused")}


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_recipe_that_comes_along_can_be_read_by_its_name(recipe: Path) -> None:
    assert read_recipe(recipe.stem, **GIVEN) == read_recipe(str(recipe), **GIVEN)


def test_the_recipe_of_the_public_convention_is_the_default() -> None:
    released = read_recipe("ru-emotions-public", output=Path("unused"))
    assert released.learning == Learning()
    assert released.augmentation == Augmentation()
    # What lies on a hub or in a folder is no default.
    places: dict[str, Any] = {"bases": (), "unlabelled": (), "unlabelled_lines": None}
    assert released.teaching.model_copy(update=places) == Teaching()


def test_the_short_recipe_saves_on_teachers_alone() -> None:
    short, released = (read_recipe(f"ru-emotions-{name}", **GIVEN) for name in ("short", "public"))
    assert short.model_copy(update={"teaching": released.teaching}) == released
    taught, fewer = (each.folds * each.seeds * each.epochs for each in (released.teaching, short.teaching))
    assert fewer <= 0.4 * taught


def test_the_small_and_the_tiny_recipe_learn_calls_and_go_on_from_one_another() -> None:
    small, tiny = (read_recipe(f"ru-emotions-{name}", output=Path("unused")) for name in ("small", "tiny"))
    for recipe in (small, tiny):
        assert "calls" in recipe.data
        assert recipe.warm_start
        assert recipe.teaching.bundle == recipe.base
        assert (recipe.rule("calls"), recipe.rule("public")) == ("exclusive", "independent")
        assert recipe.teaching.share_of_labels("brighter") == 0.7
    assert (Path(small.base).name, small.layers) == ("ru-emotions-public", None)
    assert (Path(tiny.base).name, tiny.layers) == ("ru-emotions-small", 3)


def test_parallel_text_needs_teachers_that_read_it() -> None:
    with pytest.raises(UnusableRecipe, match="parallel text is scored by teachers"):
        read_recipe(None, ["teaching.parallel=[tatoeba.tsv]", "teaching.folds=0"], **GIVEN)


def test_of_one_convention_are_the_sets_that_count_the_most_of_those_that_are_there() -> None:
    learning = Learning()
    most = learning.of_one_convention(["ru_go_emotions", "cedr", "mine"])
    assert [most.weight(source) for source in ("ru_go_emotions", "cedr", "mine")] == [1, 0, 1]
    assert learning.of_one_convention(["cedr", "xed"]).weight("cedr") == learning.weight("cedr") > 0


def test_options_come_on_top_of_a_recipe() -> None:
    settings = read_recipe(
        "ru-emotions-small",
        ["learning.epochs.cedr=1", "learning.learning_rate=1e-5", "augmentation.noisy=0.2"],
        **GIVEN,
    )
    assert (settings.learning.passes("cedr"), settings.learning.passes("brighter")) == (1, 8)
    assert settings.learning.passes("a set of one's own") == 3
    assert (settings.learning.learning_rate, settings.augmentation.noisy) == (1e-5, 0.2)
    assert settings.data == ("set",)


def test_a_recipe_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    settings = read_recipe(None, ["learning.loss=focal", "learning.served_weight.xed=0.5", "seed=7"], **GIVEN)
    write_recipe(settings, tmp_path / "recipe.yaml")
    assert read_recipe(str(tmp_path / "recipe.yaml"), output=Path("unused")) == settings


def test_what_a_recipe_says_of_its_labels_does_not_hold_for_other_data(tmp_path: Path) -> None:
    """Else a champion that learnt a set whole would be judged on it by the next retraining."""
    taken = Taken(at=datetime(2026, 1, 1, tzinfo=UTC), learnt_whole=("cedr",))
    write_recipe(read_recipe(None, **GIVEN, taken=taken), tmp_path / "recipe.yaml")
    assert read_recipe(str(tmp_path / "recipe.yaml"), output=Path("unused")).taken == taken
    assert read_recipe(str(tmp_path / "recipe.yaml"), **GIVEN).taken is None


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["learning.rate=1"], "learning.rate: extra inputs are not permitted"),
        (["learning.loss=hinge"], "learning.loss: input should be 'bce', 'focal' or 'asymmetric', got 'hinge'"),
        (["network.pooling=median"], "network.pooling: input should be 'encoder', 'cls', 'mean' or 'max'"),
        (["network.head_layers=2"], "network: head_layers and head_width shape a head of ours, .*set pooling to cls"),
        (["network.head_width=64"], "network: head_layers and head_width shape a head of ours"),
        (["network.head_layers=0", "network.pooling=cls"], "network.head_layers: input should be greater than 0"),
        (["teaching.folds=-1"], "teaching.folds: input should be greater than or equal to 0, got -1"),
        (["learning.epochs"], "give it as name=value"),
        (["learning={"], "is no YAML"),
    ],
)
def test_a_setting_that_cannot_be_is_named(overrides: list[str], complaint: str) -> None:
    with pytest.raises(UnusableRecipe, match=complaint):
        read_recipe(None, overrides, **GIVEN)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableRecipe, match="base is not given: name it in the recipe, or as --base"):
        read_recipe(None, data=["set"], output=tmp_path)

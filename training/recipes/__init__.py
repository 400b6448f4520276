"""Recipes: YAML files of settings, those that are named here and those of a user."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from training.errors import UnusableRecipe
from training.fit.settings import FitSettings

FOLDER: Final = Path(__file__).parent

_Settings = TypeVar("_Settings", bound=BaseModel)


def read_recipe(recipe: str | None, overrides: Iterable[str] = (), **given: Any) -> FitSettings:
    """Read a recipe and put what is given in place of what it says.

    Args:
        recipe: a file, or the name of a recipe in this folder; None takes the defaults.
        overrides: such as `learning.epochs.cedr=3`; the value is YAML.
        given: fields of `FitSettings`; those that are None are left out.

    Raises:
        UnusableRecipe: there is no such recipe, or a setting is unknown or cannot be right.
    """
    return validate_settings(FitSettings, merge_recipe(recipe, overrides, **given))


def merge_recipe(recipe: str | None, overrides: Iterable[str] = (), **given: Any) -> dict[str, Any]:
    """Return what a recipe says and what is put in its place, as `read_recipe` takes them; nothing is checked yet.

    Raises:
        UnusableRecipe: there is no such recipe, or something cannot be read.
    """
    settings = _read(recipe) if recipe else {}
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise UnusableRecipe(f"--set {override}: give it as name=value, such as learning.learning_rate=1e-4")
        _put(settings, name.strip().split("."), _yaml(value, f"--set {override}"))
    given = {name: value for name, value in given.items() if value is not None}
    if "data" in given:
        settings.pop("taken", None)  # It speaks of the labels that the recipe names.
    return settings | given


def validate_settings(kind: type[_Settings], said: Mapping[str, Any]) -> _Settings:
    """Make settings of what a recipe says.

    Raises:
        UnusableRecipe: a setting is unknown, missing, or cannot be right.
    """
    try:
        return kind(**said)
    except ValidationError as error:
        raise UnusableRecipe("; ".join(map(_explain, error.errors()))) from None


def write_recipe(settings: FitSettings, file: Path) -> None:
    """Write settings as a recipe, without the bundle's folder; all of them, since defaults change."""
    said = settings.model_dump(mode="json", exclude={"output"})
    file.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _read(recipe: str) -> dict[str, Any]:
    file = Path(recipe)
    if not file.is_file():
        file = FOLDER / f"{recipe}.yaml"
    if not file.is_file():
        names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
        raise UnusableRecipe(f"{recipe} is neither a file nor one of the recipes here: {names}")
    said = _yaml(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(said, dict):
        raise UnusableRecipe(f"{file} holds no settings. Copy one of {FOLDER}/*.yaml and change it")
    return said


def _yaml(text: str, where: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnusableRecipe(f"{where} is no YAML: {' '.join(str(error).split())}") from error
    return _number(value) if isinstance(value, str) else value


def _number(value: str) -> Any:
    # YAML 1.1 takes 2e-4 for a word, since it has no dot.
    try:
        return float(value)
    except ValueError:
        return value


def _put(said: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        said[name] = dict(said[name]) if isinstance(said.get(name), Mapping) else {}
        said = said[name]
    said[path[-1]] = value


def _explain(detail: Any) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        return f"{name} is not given: name it in the recipe, or as --{name.replace('_', '-')}"
    return f"{name}: {detail['msg'][0].lower()}{detail['msg'][1:]}, got {detail['input']!r}"

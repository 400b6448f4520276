"""The command emotion-training search."""

from pathlib import Path

from training.options import Names


def search(  # noqa: PLR0913 - the command's options.
    *,
    space: Path,
    study: Path,
    output: Path,
    recipe: str | None = None,
    trials: int = 20,
    data: Names | None = None,
    base: str | None = None,
) -> None:
    """Search for better settings with optuna, and write the best as a recipe.

    Args:
        space: YAML: a setting's name, and its `low` and `high` (and `log`) or its `choices`.
        study: SQLite file of the trials; several processes may share it.
        output: Where the recipe is written.
        recipe: What the trials vary.
        trials: How many there are to be in all.
        data: Instead of the recipe's.
        base: Instead of the recipe's.
    """
    from training.fit.search import search_recipe  # noqa: PLC0415 - --help is fast without torch.

    best = search_recipe(space, study, output, trials, recipe=recipe, data=data, base=base)
    print(f"{output} holds trial {best.number}, weighted average precision {best.value:.4f}")  # noqa: T201 - as above.

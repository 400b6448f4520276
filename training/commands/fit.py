"""The command emotion-training fit."""

from pathlib import Path

import structlog

from training.options import Names, Overrides
from training.recipes import read_recipe
from training.signals import on_signals


def fit(  # noqa: PLR0913 - the command's options.
    *,
    recipe: str | None = None,
    data: Names | None = None,
    base: str | None = None,
    output: Path,
    base_name: str | None = None,
    seed: int | None = None,
    set_: Overrides | None = None,
) -> None:
    """Fine-tune an encoder and write a bundle.

    Args:
        recipe: A YAML file of settings, or the name of one that comes with the package.
        data: Folders, files or hub names of the sets, instead of the recipe's.
        base: Folder or hub name of the encoder, instead of the recipe's.
        output: The bundle's folder; must not exist.
        base_name: What to call the encoder in the bundle.
        seed: Of weights, order and forms.
        set_: Other settings, such as learning.epochs.cedr=3; docs/training.md lists them.
    """
    given = {"data": data, "base": base, "output": output, "base_name": base_name, "seed": seed}
    settings = read_recipe(recipe, set_ or (), **given)
    structlog.get_logger().info("a fit begins", data=list(settings.data), base=settings.base)

    from training.fit.run import fit_bundle  # noqa: PLC0415 - --help is fast without torch.

    with on_signals() as stop:
        manifest = fit_bundle(settings, stop)
    if manifest:
        print(f"{output} holds {manifest.version}")  # noqa: T201 - the command's answer.

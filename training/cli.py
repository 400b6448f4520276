"""The command emotion-training."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
from cyclopts import App, Parameter

from training.errors import TrainingError

app = App(name="emotion-training", help="Fits and measures the models that emotion-worker serves.")


@app.command
def fit(
    *,
    recipe: str | None = None,
    data: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    base: str | None = None,
    output: Path,
    base_name: str | None = None,
    seed: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", consume_multiple=True)] = None,
) -> None:
    """Fine-tune an encoder and write a bundle. Several GPUs: torchrun --nproc-per-node 2 -m training.cli fit ...

    Example:
        emotion-training fit --recipe ru-emotions-small --output models/mine

        emotion-training fit --data labels.csv seara/ru_go_emotions --base intfloat/multilingual-e5-small
        --set learning.learning_rate=1e-4 teaching.folds=0 --output models/mine

    Args:
        recipe: A YAML file of settings, or the name of one that comes with the package.
        data: Folders, files or hub names of the sets, instead of the recipe's.
        base: Folder or hub name of the encoder, instead of the recipe's.
        output: The bundle's folder; must not exist.
        base_name: What to call the encoder in the bundle.
        seed: Of weights, order and forms.
        set_: Other settings, such as learning.epochs.cedr=3; docs/training.md lists them.
    """
    from training.recipes import read_recipe  # noqa: PLC0415 - --help is fast without the rest.

    given = {"data": data, "base": base, "output": output, "base_name": base_name, "seed": seed}
    settings = read_recipe(recipe, set_ or (), **given)
    from training.fitting import fit_bundle  # noqa: PLC0415 - as above; torch takes seconds.

    manifest = fit_bundle(settings)
    if manifest:
        print(f"{output} holds {manifest.version}")  # noqa: T201 - the command's answer.


@app.command
def evaluate(
    *,
    model: Path,
    data: Annotated[list[str], Parameter(consume_multiple=True)],
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure a bundle on the Russian validation rows of data sets, in ASR form.

    Example:
        emotion-training evaluate --model models/ru-emotions-small --data seara/ru_go_emotions --json metrics.json

    Args:
        model: The bundle's folder.
        data: Folders or hub names of the sets.
        json_: Write the figures to this file too.
    """
    from training.report import measure_bundle, tables  # noqa: PLC0415 - as above.

    figures = measure_bundle(model, data)
    tables(figures)
    if json_:
        json_.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; what the user can put right ends in one line and exit code 2."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        return app(arguments)
    except TrainingError as error:
        print(f"emotion-training: {error}", file=sys.stderr)  # noqa: T201 - the command's answer.
        sys.exit(2)


if __name__ == "__main__":
    main()

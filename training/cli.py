"""The command emotion-training."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
from cyclopts import App, Parameter

from registry.errors import RegistryError
from training.drift_cli import drift
from training.errors import TrainingError, UnusableRecipe
from training.labels.cli import datasets, labels
from training.options import Names, Overrides
from training.registry_cli import models, runs
from training.retrain_cli import retrain
from training.schedule_cli import schedule
from training.stopping import Interrupted, on_signals

app = App(name="emotion-training", help="Fits and measures the models that emotion-worker serves.")
app.command(drift)
app.command(labels)
app.command(datasets)
app.command(models)
app.command(runs)
app.command(retrain)
app.command(schedule)


@app.command
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

    with on_signals() as stop:
        manifest = fit_bundle(settings, stop)
    if manifest:
        print(f"{output} holds {manifest.version}")  # noqa: T201 - the command's answer.


@app.command
def evaluate(
    *,
    model: Path,
    data: Names,
    report: Path | None = None,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure a bundle on the Russian validation rows of data sets, in ASR form and as written.

    Example:
        emotion-training evaluate --model models/ru-emotions-small --data seara/ru_go_emotions --report report

    Args:
        model: The bundle's folder.
        data: Folders, files or hub names of the sets.
        report: Write report.html and metrics.json into this folder; measures robustness to word errors too.
        json_: Write the figures to this file.
    """
    from training.report import evaluate_bundle, tables  # noqa: PLC0415 - as above.

    figures = evaluate_bundle(model, data, report)
    tables(figures)
    if json_:
        json_.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


@app.command
def export(*, model: Path, onnx: bool = False, int8: bool = False) -> None:
    """Write a bundle's model into the bundle in another format, for WORKER_BACKEND=onnx.

    Example:
        emotion-training export --model models/mine --onnx --int8

    Args:
        model: The bundle's folder.
        onnx: As ONNX.
        int8: With weights of eight bits: a quarter of the size, and faster on a CPU.
    """
    if not onnx:
        raise UnusableRecipe("export: say into what; --onnx is the format there is")
    from training.onnx_export import export_onnx  # noqa: PLC0415 - as above.

    print(export_onnx(model, int8=int8))  # noqa: T201 - the command's answer.


@app.command
def push(*, model: Path, repository: str, private: bool = False, dry_run: bool = False) -> None:
    """Upload a bundle to the Hugging Face hub; the token comes from HF_TOKEN or `hf auth login`.

    Example:
        emotion-training push --model models/mine --repository me/ru-emotions --dry-run

    Args:
        model: The bundle's folder.
        repository: Owner and name on the hub.
        private: Make a new repository private.
        dry_run: Check the bundle and say what would be uploaded.
    """
    from training.push import push_bundle  # noqa: PLC0415 - as above.

    for line in push_bundle(model, repository, private=private, dry_run=dry_run):
        print(line)  # noqa: T201 - the command's answer.


@app.command
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
    """Search for better settings with optuna, and write the best as a recipe. Started again, it goes on.

    Example:
        emotion-training search --recipe ru-emotions-small --space space.yaml --study search.db --output best.yaml

    Args:
        space: YAML: a setting's name, and its `low` and `high` (and `log`) or its `choices`.
        study: SQLite file of the trials; several processes may share it.
        output: Where the recipe is written.
        recipe: What the trials vary.
        trials: How many there are to be in all.
        data: Instead of the recipe's.
        base: Instead of the recipe's.
    """
    from training.search import search_recipe  # noqa: PLC0415 - as above.

    best = search_recipe(space, study, output, trials, recipe=recipe, data=data, base=base)
    print(f"{output} holds trial {best.number}, weighted average precision {best.value:.4f}")  # noqa: T201 - as above.


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; what the user can put right ends in one line and exit code 2."""
    # Looked up at each line: whoever calls this within a process may have put another stream in its place since.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        return app(arguments)
    except (TrainingError, RegistryError) as error:
        print(f"emotion-training: {error}", file=sys.stderr)  # noqa: T201 - the command's answer.
        sys.exit(2)
    except Interrupted as interrupted:
        print(f"emotion-training: {interrupted}: run it again to go on", file=sys.stderr)  # noqa: T201 - as above.
        sys.exit(interrupted.exit_code)


if __name__ == "__main__":
    main()

"""What variants of a recipe bring: a bundle, a report, and a line of docs/experiments.md for each.

    python benchmarks/students.py VARIANTS.yaml --data FOLDER --base FOLDER --keep FOLDER [--set NAME=VALUE]

The file names each variant and the settings in which it differs from the recipe, such as `mean pooling:
[network.pooling=mean]`. All learn from the same teachers and lines, those of the recipe, which are kept: another call
goes on with them. As many learn at the same time as said, over all GPUs.
"""

import argparse
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import PartialState

from training.data.examples import Examples, fingerprint
from training.distill.parallel import in_processes
from training.distill.teach import FitContext, teach
from training.evaluate.breakdowns import LIMITED_RATE
from training.evaluate.predictor import open_served
from training.evaluate.report import evaluate
from training.fit.finish import finish
from training.fit.run import Rows, read_rows, run_fingerprint
from training.fit.settings import FitSettings
from training.learn.checkpoints import Checkpoints
from training.learn.final_model import fit_student
from training.recipes import read_recipe

COLUMNS = ("what", "weighted F1", "macro F1", "AP", "ECE", "word errors", "written", "BRIGHTER", "CEDR")
NATIVE = {"brighter": "macro_f1_emotions", "cedr": "macro_f1"}
"""Native sets, and the figure of each: of its six emotions, of its five and none."""


def learn(name: str, shared: Any) -> str:
    """Fit, finish and measure a variant; return its line."""
    start = time.perf_counter()
    variants, material, data = shared
    settings: FitSettings = variants[name]
    with Path(material).open("rb") as file:
        rows: Rows = pickle.load(file)  # noqa: S301 - this run wrote it.
    if not settings.output.exists():
        student = fit_student(rows.learned, rows.conventions, settings.start, settings.plan)
        finish(student, rows.learned, rows.evaluation, rows.tests, settings, data)
    learnt = time.perf_counter()
    print(f"{name}: {learnt - start:.0f} s", flush=True)
    return line(name, settings.output, rows.evaluation)


def line(name: str, folder: Path, evaluation: list[Examples]) -> str:
    """Measure a bundle; return what a table says of it."""
    measured = evaluate(open_served(folder), evaluation, folder)
    main = measured["ru_go_emotions"]
    halves = [half["measured"] for half in main["cross_fitted"]]
    [errors] = [each["other_half"]["change"] for each in main["word_errors"] if each["rate"] == LIMITED_RATE]
    worst = max(each["ece"] for half in halves for each in half["emotions"].values())
    cells = [
        name,
        " / ".join(f"{half['weighted_f1']:.3f}" for half in halves),
        " / ".join(f"{half['macro_f1']:.3f}" for half in halves),
        f"{main['as_served']['weighted_ap']:.4f}",
        f"{np.mean([half['mean_ece'] for half in halves]):.3f}, {worst:.3f}",
        f"{-100 * errors:.1f}",
        f"{100 * main['written']['change']['other_half']['change']:+.1f}",
        *(f"{measured[source]['other_half'][figure]:.3f}" for source, figure in NATIVE.items() if source in measured),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Teach, learn, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variants", type=Path)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--recipe", default="ru-emotions-public")
    parser.add_argument("--set", action="append", default=[], help="what the recipe says, for all variants")
    parser.add_argument("--at-once", type=int, default=max(1, 2 * torch.cuda.device_count()))
    given = parser.parse_args()
    named: dict[str, list[str]] = yaml.safe_load(given.variants.read_text(encoding="utf-8"))

    def settings_of(overrides: list[str], name: str) -> FitSettings:
        return read_recipe(
            given.recipe, [*given.set, *overrides], data=given.data, base=given.base, output=given.keep / name
        )

    recipe = settings_of([], "recipe")
    rows = read_rows(recipe)
    data = fingerprint(rows.learned)
    given.keep.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(given.keep / "teaching", run_fingerprint(recipe, data))
    state = PartialState(cpu=not torch.cuda.is_available())
    context = FitContext(rows.conventions, recipe.start, recipe.plan, checkpoints, state)
    taught = rows._replace(learned=teach(rows.learned, recipe.teaching, context, rows.guarded))
    material = given.keep / "material.pickle"
    with material.open("wb") as file:
        pickle.dump(taught, file)
    variants = {name: settings_of(overrides or [], name.replace(" ", "-")) for name, overrides in named.items()}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for _, found in in_processes(learn, list(variants), (variants, str(material), data), given.at_once):
        print(found, flush=True)


if __name__ == "__main__":
    main()

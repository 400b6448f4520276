"""What makes a step cheaper changes nothing of what is learned."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fits import BRIEF, TINY, make_base, make_data
from places import ROOT
from transformers import BertConfig, TrainerCallback

from training.fit.run import read_rows
from training.learn.final_model import fit_student
from training.learn.trainer import InOrder
from training.recipes import read_recipe

SHALLOW = TINY | {"num_hidden_layers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("steps")
    (root / "data").mkdir()
    make_data(root / "data")
    make_base(root / "base", BertConfig(**SHALLOW, initializer_range=0.2))
    # Compiled code draws its own random numbers.
    sure = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    make_base(root / "sure", BertConfig(**SHALLOW, initializer_range=0.2, **sure))
    return root


def losses(folder: Path, base: str, *settings: str, callbacks: Sequence[TrainerCallback] = ()) -> list[float]:
    data = [str(folder / "data" / name) for name in ("ru_go_emotions", "goemotions")]
    recipe = read_recipe(None, [*BRIEF, *settings], data=data, base=str(folder / base), output=folder / "none")
    rows = read_rows(recipe)
    student = fit_student(rows.learned, rows.conventions, recipe.start, recipe.plan, callbacks=callbacks)
    return [entry["loss"] for entry in student.history]


class Watch(TrainerCallback):
    """Notes whether all parts of the model were learning, and leaves it as scoring would."""

    def __init__(self) -> None:
        self.learning: list[bool] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:  # noqa: ARG002 - the Trainer's.
        self.learning.append(all(module.training for module in others["model"].modules()))
        others["model"].eval()


@pytest.mark.parametrize("pooling", ["encoder", "mean"])
def test_dropout_acts_in_each_step_and_each_layer(pooling: str, folder: Path) -> None:
    watch = Watch()
    losses(folder, "base", f"network.pooling={pooling}", callbacks=[watch])
    assert len(watch.learning) > 10
    assert all(watch.learning)


def test_the_benchmark_says_what_a_step_costs(folder: Path) -> None:
    script = ROOT / "benchmarks" / "training_step.py"
    words = [sys.executable, str(script), "--base", str(folder / "base"), "--rows", "8", "--steps", "9"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    assert re.search(
        r"8 rows a step, operator by operator: [\d.]+ ms and [\d,]{3,} operators a step, loss [\d.]+", said
    )


def test_a_step_of_ours_is_one_of_the_trainers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = losses(folder, "base")
    for shortcut in ("training_step", "floating_point_ops", "_clip_grad_norm"):
        monkeypatch.delattr(InOrder, shortcut)
    assert losses(folder, "base") == pytest.approx(ours, abs=1e-6)

"""`emotion-training search`: after a stop, and shared by processes, no trial repeats another one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from training.cli import main
from training.errors import UnusableRecipe
from training.fit.search import search_recipe

Words = Callable[..., list[str]]


@pytest.fixture
def words(data: Path, base: Path, tmp_path: Path) -> Words:
    """Return the words of a search among learning rates, with teachers of each fold."""
    space, recipe = tmp_path / "space.yaml", tmp_path / "recipe.yaml"
    space.write_text("learning.learning_rate: {low: 1.0e-5, high: 3.0e-3, log: true}\n", encoding="utf-8")
    folders = [str(data / name) for name in ("goemotions", "ru_go_emotions")]

    def search(trials: int, folds: int = 0, epochs: int = 4) -> list[str]:
        recipe.write_text(
            f"data: {folders}\nlearning: {{batch_size: 8, epochs: {{ru_go_emotions: {epochs}, goemotions: 1}}}}\n"
            f"teaching: {{folds: {folds}, seeds: 1, epochs: 2, batch_size: 16}}\n",
            encoding="utf-8",
        )
        options = {"space": space, "study": tmp_path / "study.db", "output": tmp_path / "best.yaml", "recipe": recipe}
        named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return ["search", *named, "--base", str(base), "--trials", str(trials)]

    return search


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def trials_in(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="study", storage=f"sqlite:///{folder / 'study.db'}").trials


def test_a_search_goes_on_with_other_trials_and_writes_a_recipe_that_fits(
    words: Words, base: Path, tmp_path: Path
) -> None:
    assert run(words(2)) == 0
    assert run(words(4)) == 0
    trials = trials_in(tmp_path)
    assert len({trial.params["learning.learning_rate"] for trial in trials}) == 4
    chosen = max((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value or 0)
    written = yaml.safe_load((tmp_path / "best.yaml").read_text(encoding="utf-8"))
    assert written["learning"]["learning_rate"] == pytest.approx(chosen.params["learning.learning_rate"])
    fitted = ["--recipe", str(tmp_path / "best.yaml"), "--base", str(base), "--output", str(tmp_path / "fitted")]
    assert run(["fit", *fitted]) == 0


def test_processes_share_teachers_and_trials(words: Words, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.cli", *words(5, folds=2)]
    shared = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in shared]
    assert [process.returncode for process in shared] == [0, 0], said
    rates = [trial.params["learning.learning_rate"] for trial in trials_in(tmp_path)]
    # Where both were at a trial when the fifth ended, there is a sixth.
    assert len(set(rates)) == len(rates) in {5, 6}
    checkpoints = tmp_path / ".study.db.checkpoints"
    teachers = {path: path.stat().st_mtime_ns for path in checkpoints.glob("teacher-*.npy")}
    assert len(teachers) == 2
    assert not [path for path in checkpoints.iterdir() if path.is_dir()], "networks are large"
    # A longer search begins with them.
    assert run(words(len(rates) + 1, folds=2)) == 0
    assert {path: path.stat().st_mtime_ns for path in checkpoints.glob("teacher-*.npy")} == teachers


@pytest.mark.parametrize(
    "range_",
    ["{choices: abc}", "{choices: []}", "{low: a, high: 2}", "{low: 2, high: 1}", "{low: 0, high: 1, log: true}"],
)
def test_a_range_that_is_none_is_refused_before_anything_is_read(range_: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(f"learning.batch_size: {range_}\n", encoding="utf-8")
    names = (tmp_path / name for name in ("space.yaml", "study.db", "best.yaml"))
    with pytest.raises(UnusableRecipe, match=r"learning.batch_size must be .* numbers low and high, or with a list"):
        search_recipe(*names, 1, recipe=None)


def test_trials_of_another_recipe_are_not_compared(words: Words, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(1)) == 0
    assert run(words(2, epochs=3)) == 2
    assert "holds trials of other data or settings: name another --study" in capsys.readouterr().err

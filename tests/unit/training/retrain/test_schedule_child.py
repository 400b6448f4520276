"""The process that a schedule starts for each retraining."""

import subprocess
from pathlib import Path

from training.commands.schedule import retrain_words


def test_a_module_of_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    for name in ("schemas.py", "registry.py", "training.py", "yaml.py"):
        (tmp_path / name).write_text("raise SystemExit('a file of the working folder was imported')")
    words = [*retrain_words({}, {}), "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "emotion-training retrain --store" in done.stdout


def test_options_are_passed_on() -> None:
    options = {"--recipe": None, "--work": Path("runs")}
    words = retrain_words(options, {"--public": None, "--set": ["min_labels=1", "seed=2"]})
    assert words[-5:] == ["--work", "runs", "--set", "min_labels=1", "seed=2"]

"""SIGTERM and Ctrl-C end a fit at a checkpoint; started again, it ends as if nothing had been."""

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from commands import TORCHRUN, TRAINING, told_error
from fits import QUICK, arguments
from manifests import manifest
from safetensors.torch import load_file
from services import PATIENCE_S, wait_for
from transformers import TrainerCallback

from schemas.bundle import MANIFEST
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.examples import PUBLIC, Examples
from training.fit.run import fit_bundle, read_rows
from training.fit.settings import FitSettings, Taken
from training.learn import fine_tune
from training.learn.batches import encode_set, heads
from training.learn.checkpoints import Resumable
from training.learn.fine_tune import fit
from training.learn.network import open_base
from training.learn.trainer import trainer_arguments
from training.recipes import read_recipe
from training.retrain.settings import read_settings
from training.signals import Interrupted, StopSignal, on_signals

SETTINGS = [*QUICK, "learning.ema=0.9"]
STUDENT = [*SETTINGS, "teaching.folds=0"]
TEACHERS = [*SETTINGS, "teaching.epochs=12", "learning.epochs.ru_go_emotions=2"]


class Fit:
    """`emotion-training fit` in a process of its own, and what it leaves in a folder."""

    def __init__(self, data: Path, base: Path, folder: Path) -> None:
        self._data, self._base, self._output = data, base, folder / "small"
        self.checkpoints = folder / ".small.checkpoints"
        self._log = folder.with_suffix(".log")
        folder.mkdir()

    def start(self, settings: list[str], launch: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        words = arguments(self._data, self._base, self._output, settings)
        with self._log.open("wb") as log:
            return subprocess.Popen([*launch, TRAINING, *words], stderr=log)

    def interrupt(self, settings: list[str], when: str, number: signal.Signals = signal.SIGTERM) -> list[Path]:
        """Send a signal as soon as there is such a file among the checkpoints; return what is there in the end."""
        with self.start(settings) as process:
            wait_for(lambda: next(self.checkpoints.glob(when), None), when)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 128 + number, self.said()
        assert told_error(self.said()) == f"stopped by {number.name}: run it again to go on"
        assert not self._output.exists()
        wait_for(lambda: not [child for child in children if child.is_running()], what="the end of the children")
        return sorted(self.checkpoints.rglob("*"))

    def finish(self, settings: list[str]) -> dict[str, torch.Tensor]:
        """Run to the end, within this process; return the weights."""
        with pytest.raises(SystemExit) as ended:
            main(arguments(self._data, self._base, self._output, settings))
        assert not ended.value.code
        assert (self._output / MANIFEST).is_file()
        assert not self.checkpoints.exists()
        return dict(load_file(self._output / "model.safetensors"))

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")


def assert_same(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=0)


@pytest.fixture(scope="module")
def student(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of a fit that nothing has ended."""
    return Fit(data, base, tmp_path_factory.mktemp("student") / "whole").finish(STUDENT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fit_that_a_signal_ended_goes_on_to_the_same_weights(
    number: signal.Signals, student: dict[str, torch.Tensor], data: Path, base: Path, tmp_path: Path
) -> None:
    cut = Fit(data, base, tmp_path / "cut")
    left = cut.interrupt(STUDENT, "student/checkpoint-*/trainer_state.json", number)
    [checkpoint] = [path for path in left if path.name.startswith("checkpoint-")]
    assert checkpoint.parent.name == "student"
    assert_same(cut.finish(STUDENT), student)


def test_a_signal_before_anything_is_fitted_ends_the_run_too(data: Path, base: Path, tmp_path: Path) -> None:
    Fit(data, base, tmp_path / "cut").interrupt(STUDENT, "fingerprint")


def test_a_teacher_goes_on_from_its_checkpoint(data: Path, base: Path, tmp_path: Path) -> None:
    whole = Fit(data, base, tmp_path / "whole").finish(TEACHERS)
    cut = Fit(data, base, tmp_path / "cut")
    left = cut.interrupt(TEACHERS, "teacher-0-1/checkpoint-*/trainer_state.json")
    assert {path.name for path in left if path.parent == cut.checkpoints} == {
        "fingerprint",
        "teacher-0-0.npy",
        "teacher-0-1",
    }
    assert_same(cut.finish(TEACHERS), whole)


def test_processes_of_torchrun_end_after_the_same_step(data: Path, base: Path, tmp_path: Path) -> None:
    settings = [*STUDENT, "learning.epochs.ru_go_emotions=80"]
    cut = Fit(data, base, tmp_path / "cut")
    launch = (TORCHRUN, "--standalone", "--nproc-per-node", "2", "--no-python")
    with cut.start(settings, launch) as agent:
        wait_for(lambda: next(cut.checkpoints.glob("student/checkpoint-*/trainer_state.json"), None), "a fit")
        agent.terminate()
        agent.wait(PATIENCE_S)
    assert "stopped by SIGTERM: run it again to go on" in cut.said()
    assert last_step(cut.checkpoints / "student") % 10 == 0


def test_teachers_side_by_side_end_with_the_run_and_those_that_are_complete_stay(
    data: Path, base: Path, tmp_path: Path
) -> None:
    settings = [*TEACHERS, "teaching.side_by_side=2", "teaching.folds=3"]
    left = {path.name for path in Fit(data, base, tmp_path / "cut").interrupt(settings, "teacher-*.npy")}
    assert left & {"teacher-0-0.npy", "teacher-0-1.npy"}
    assert left < {"fingerprint", "teacher-0-0.npy", "teacher-0-1.npy", "teacher-0-2.npy"}


def test_teachers_side_by_side_end_with_a_run_that_is_killed(data: Path, base: Path, tmp_path: Path) -> None:
    cut = Fit(data, base, tmp_path / "cut")
    # transformers report a new classifier, not a head of ours.
    settings = [*TEACHERS, "teaching.side_by_side=2", "teaching.epochs=2000", "teaching.network.pooling=encoder"]
    with cut.start(settings) as process:
        parent = psutil.Process(process.pid)
        wait_for(lambda: "LOAD REPORT" in cut.said(), "a teacher")
        children = parent.children(recursive=True)
        process.kill()
    assert len(children) >= 2
    wait_for(lambda: not [child for child in children if child.is_running()], "the end of the children")


class SignalAt(TrainerCallback):
    """Sends this process a signal within a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        if state.global_step + 1 == self._step:
            signal.raise_signal(signal.SIGTERM)


class Network:
    """A tiny network, and what it learns."""

    def __init__(self, sets: list[Examples], settings: FitSettings) -> None:
        self._settings = settings
        names = heads(sets, [PUBLIC], settings.learning)
        self.model, self._tokenizer = open_base(settings.base, len(EMOTIONS) * len(names), 0, settings.network)
        self._sets = [encode_set(examples, self._tokenizer, names, settings.plan, passes=2) for examples in sets]

    def fit(self, resumable: Resumable, *callbacks: TrainerCallback) -> int:
        """Return the number of the last step, which is the only one that has a checkpoint."""
        fit(self.model, self._tokenizer, self._sets, self._settings.plan, resumable=resumable, callbacks=callbacks)
        return last_step(resumable.folder)


def last_step(folder: Path) -> int:
    [checkpoint] = folder.iterdir()
    return int(checkpoint.name.removeprefix("checkpoint-"))


def test_a_fit_reports_to_what_the_recipe_names(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("report_to: [tensorboard]\n", encoding="utf-8")
    given = read_settings(str(recipe), [*SETTINGS, "start=base", "teaching.folds=0"], base=str(base))
    taken = Taken(at=datetime.now(UTC), learnt_whole=())
    output = tmp_path / "small"
    settings = given.to_fit((str(data / "ru_go_emotions"),), taken, champion=base, manifest=manifest(), output=output)
    fit_bundle(settings.model_copy(update={"measured": ("ru_go_emotions",)}))
    assert b"train/loss" in next((tmp_path / "board").glob("events.*")).read_bytes()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("abacus", "report_to: abacus is not supported, only"), ("wandb", "report_to: WandbCallback requires wandb")],
)
def test_a_reporter_that_cannot_be_had_is_one_line(
    *, name: str, complaint: str, data: Path, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = arguments(data, base, tmp_path / "small", [*STUDENT, f"report_to=[{name}]"])
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert complaint in capfd.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def untaught(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Network]:
    """Makes networks that are all alike."""
    folders = [str(data / name) for name in ("ru_go_emotions", "goemotions")]
    unused = tmp_path_factory.mktemp("models") / "unused"
    settings = read_recipe(None, SETTINGS, data=folders, base=str(base), output=unused)
    return partial(Network, read_rows(settings).learned, settings)


@pytest.fixture(scope="module")
def whole(untaught: Callable[[], Network], tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, int]:
    """One that nothing has ended, and the number of its steps."""
    network = untaught()
    return network, network.fit(Resumable(tmp_path_factory.mktemp("network") / "whole", StopSignal()))


@pytest.mark.parametrize("before_the_end", [25, 13, 1, 0])
def test_a_fit_can_be_ended_after_any_step(
    before_the_end: int, untaught: Callable[[], Network], whole: tuple[Network, int], tmp_path: Path
) -> None:
    network, steps = whole
    with pytest.raises(Interrupted), on_signals() as stop:
        untaught().fit(Resumable(tmp_path / "cut", stop), SignalAt(steps - before_the_end))
    assert last_step(tmp_path / "cut") == steps - before_the_end

    resumed = untaught()
    resumed.fit(Resumable(tmp_path / "cut", StopSignal()))
    assert_same(resumed.model.state_dict(), network.model.state_dict())


class LookAtGroups(TrainerCallback):
    """Looks whether the processes that make batches belong to a group of processes of their own."""

    def __init__(self) -> None:
        self._services = set(psutil.Process().children())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the Trainer's.
        if state.global_step == 1:
            children = set(psutil.Process().children()) - self._services
            assert len(children) == args.dataloader_num_workers
            assert os.getpgid(0) not in {os.getpgid(child.pid) for child in children}


def test_a_signal_to_the_group_reaches_no_process_that_makes_batches(
    untaught: Callable[[], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or `timeout` and a terminal would end them while the fit still needs batches to come to its checkpoint."""

    def with_two_workers(*given: Any, **named: Any) -> Any:  # As on a GPU.
        made = trainer_arguments(*given, **named)
        made.dataloader_num_workers = 2
        return made

    monkeypatch.setattr(fine_tune, "trainer_arguments", with_two_workers)
    untaught().fit(Resumable(tmp_path / "whole", StopSignal()), LookAtGroups())

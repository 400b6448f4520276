"""What a run has finished so far, in a folder next to its bundle: a run that was killed goes on from there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from schemas.decisions import Floats
from training.signals import StopSignal

log = structlog.get_logger(__name__)


_WHOLE: Final = "whole"


class Resumable(NamedTuple):
    """Where a fit leaves its checkpoints, and the signal that ends it at one."""

    folder: Path
    stop: StopSignal


class Checkpoints:
    """The folder of one run.

    Args:
        output: the bundle's folder; this one lies next to it.
        fingerprint: of data and settings: what another run left behind is thrown away.
        stop: ends what the run fits at a checkpoint.
    """

    def __init__(self, output: Path, fingerprint: str, stop: StopSignal | None = None) -> None:
        self._stop = stop or StopSignal()
        self._folder = output.with_name(f".{output.name}.checkpoints")
        mark = self._folder / "fingerprint"
        if mark.is_file() and mark.read_text(encoding="utf-8") == fingerprint:
            log.info("an earlier run was cut off: going on from its checkpoints", folder=str(self._folder))
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        mark.write_text(fingerprint, encoding="utf-8")

    def fit(self, name: str) -> Resumable:
        """Return where a network that learns leaves its own checkpoints."""
        return Resumable(self._folder / name, self._stop)

    def file(self, name: str) -> Path:
        """Return where an array lies once it is there."""
        return self._folder / f"{name}.npy"

    def array(self, name: str, compute: Callable[[], Floats]) -> Floats:
        """Return an array, computed in this run or in one that was cut off."""
        if not self.file(name).is_file():
            save(self.file(name), compute())
        return self.load(name)

    def load(self, name: str) -> Floats:
        """Return an array that is there."""
        loaded: Floats = np.load(self.file(name))
        return loaded

    def discard_networks(self) -> None:
        """Remove the networks' own checkpoints, which are large: the arrays that came of them stay."""
        for folder in filter(Path.is_dir, self._folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folder: the bundle stands."""
        shutil.rmtree(self._folder, ignore_errors=True)


def save(file: Path, array: Floats) -> None:
    """Write an array so that it appears whole or not at all."""
    unfinished = file.with_suffix(".unfinished.npy")
    np.save(unfinished, array)
    unfinished.rename(file)


def of_step(args: Any, state: Any) -> Path:
    """Return the folder of the Trainer's checkpoint after the step that it has got to."""
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def keep_whole(new: Path) -> None:
    """Mark the Trainer's checkpoint as whole, and remove all others of its fit."""
    (new / _WHOLE).touch()
    for other in new.parent.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if other != new:
            shutil.rmtree(other, ignore_errors=True)


def last_whole(folder: Path) -> Path | None:
    """Return the last checkpoint of a fit that nothing is missing of, if there is one."""
    whole = [file.parent for file in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{_WHOLE}")]
    return max(whole, key=lambda found: int(found.name.rpartition("-")[2]), default=None)

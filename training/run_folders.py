"""Where the runs of the retraining job have their work on the disk: each in a folder of its own while it goes on."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from training.errors import UnusableOutput, first_line

_MARK: Final = ".interrupted"
"""File in the folder of a run that was interrupted while its row could not say so; it holds the reason."""


def folder_of(work: Path, number: int) -> Path:
    """Return where a run has its folder, if it has one."""
    return work.resolve() / f"run-{number}"


def only_folder(work: Path, number: int) -> Path:
    """Make the folder of a run, if it is not there, and remove what earlier runs left behind.

    Raises:
        UnusableOutput: there can be no such folder.
    """
    folder = folder_of(work, number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.glob("run-*"):
            if other != folder:
                shutil.rmtree(other)
    except OSError as error:
        raise UnusableOutput(f"{work} cannot hold the work of a run: {first_line(error)}") from error
    return folder


def mark(folder: Path, reason: str) -> None:
    """Say in the folder why its run was interrupted, where the row cannot; see `marked`."""
    with suppress(OSError):
        (folder / _MARK).write_text(reason, encoding="utf-8")


def marked(folder: Path) -> str | None:
    """Return why the run was interrupted, where its folder says so."""
    file = folder / _MARK
    return file.read_text(encoding="utf-8") if file.is_file() else None


def unmark(folder: Path) -> None:
    """Take back what `mark` did."""
    (folder / _MARK).unlink(missing_ok=True)

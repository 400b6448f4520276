"""Where the runs of the retraining job have their work on the disk: each in a folder of its own while it goes on.

Several databases may share a folder for work, and anything else may lie there. A folder is removed only where its mark
names the database whose run made it.
"""

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from training.errors import UnusableOutput, first_line

_OWNER: Final = ".run-of"
"""File in each folder that a run made; it holds the identity of the database that the run belongs to."""

_INTERRUPTED: Final = ".interrupted"
"""File in the folder of a run that was interrupted while its row could not say so; it holds the reason."""


class RunFolders:
    """The folders of one database's runs.

    Args:
        work: folder in which they lie.
        database: what `training.database.identity` says of the database.
    """

    def __init__(self, work: Path, database: str) -> None:
        self.work = work.resolve()
        self._database = database
        self._suffix = hashlib.sha256(database.encode()).hexdigest()[:8]

    def of(self, number: int) -> Path:
        """Return where a run has its folder, if it has one."""
        return self.work / f"run-{number}-{self._suffix}"

    def there(self, number: int) -> Path | None:
        """Return the folder of a run, if it is there and this database's."""
        folder = self.of(number)
        return folder if self._owns(folder) else None

    def only(self, number: int) -> Path:
        """Make the folder of a run, if it is not there, and remove what earlier runs of this database left behind.

        Raises:
            UnusableOutput: there can be no such folder.
        """
        folder = self.of(number)
        try:
            if not self._owns(folder):
                folder.mkdir(parents=True)
                self._own(folder)
            for other in self.work.glob("run-*"):
                if other != folder and self._owns(other):
                    shutil.rmtree(other)
        except OSError as error:
            raise UnusableOutput(f"{self.work} cannot hold the work of a run: {first_line(error)}") from error
        return folder

    def keep(self, folder: Path, name: str) -> None:
        """Move what a run made out of its folder into the folder for work, in the place of what was kept before.

        Args:
            folder: within the run's folder.
            name: path below the folder for work.

        Raises:
            UnusableOutput: something lies there that no run of this database left, or it cannot be moved.
        """
        place = self.work / name
        if place.exists() and not self._owns(place):
            raise UnusableOutput(
                f"{place} was not left by a run of this database: move it away, or name another --work"
            )
        try:
            self._own(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                shutil.rmtree(place)
            folder.rename(place)
        except OSError as error:
            raise UnusableOutput(f"{place} cannot be written: {first_line(error)}. Free the disk") from error

    def _own(self, folder: Path) -> None:
        (folder / _OWNER).write_text(self._database, encoding="utf-8")

    def _owns(self, folder: Path) -> bool:
        mark = folder / _OWNER
        return not folder.is_symlink() and mark.is_file() and mark.read_text(encoding="utf-8") == self._database


def mark(folder: Path, reason: str) -> None:
    """Say in the folder why its run was interrupted, where the row cannot; see `marked`."""
    with suppress(OSError):
        (folder / _INTERRUPTED).write_text(reason, encoding="utf-8")


def interruption_reason(folder: Path) -> str | None:
    """Return why the run was interrupted, where its folder says so."""
    file = folder / _INTERRUPTED
    return file.read_text(encoding="utf-8") if file.is_file() else None


def clear_mark(folder: Path) -> None:
    """Take back what `mark` did."""
    (folder / _INTERRUPTED).unlink(missing_ok=True)

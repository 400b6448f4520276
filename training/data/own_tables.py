"""Tables of a user's own among the data: each has a name that no other set has, and rows that measure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
import structlog

from training.data.augment.templates import SOURCE as SYNTHETIC
from training.data.examples import PARALLEL, UNLABELLED, Examples
from training.data.splits import identity
from training.errors import UnusableData
from training.label_files.reading import SUFFIXES

log = structlog.get_logger(__name__)

_RESERVED: Final = {UNLABELLED, PARALLEL, SYNTHETIC, "behaviour"}
"""Names of sets that the program makes itself."""

_FIFTHS: Final = 5


def name_tables(data: Iterable[str]) -> dict[str, str]:
    """Return the name of each table's set by the table's path.

    It is the file's name; where several files have one name, their folders' names stand before it.

    Args:
        data: Tables, and other sets, which are passed over.

    Raises:
        UnusableData: two tables cannot be told apart.
    """
    paths = {name: Path(name) for name in data if Path(name).suffix.lower() in SUFFIXES}
    stems = Counter(path.stem for path in paths.values())
    names = {
        name: path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}-{path.stem}"
        for name, path in paths.items()
    }
    names = {name: f"{own}-table" if own in _RESERVED else own for name, own in names.items()}
    require_distinct(names.values())
    return names


def may_choose(measured: Sequence[str], data: Iterable[str]) -> tuple[str, ...]:
    """Return the names of sets whose validation rows may choose thresholds: those that are named for it, then tables.

    Args:
        measured: Names of sets, the preferred one first.
        data: Sets of a run.
    """
    return tuple(dict.fromkeys([*measured, *name_tables(data).values()]))


def require_distinct(names: Iterable[str]) -> None:
    """Make sure that no two sets have one name, under which one's rows and figures would hide the other's.

    Raises:
        UnusableData: two have.
    """
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise UnusableData(f"two sets are called {twice[0]}: name each set once, and give files names of their own")


def part_tables(
    learned: Sequence[Examples], measured: Iterable[tuple[str, ...]], names: Iterable[str]
) -> tuple[list[Examples], list[Examples]]:
    """Take validation rows from tables: a fifth of their calls, or of their texts where they name no calls.

    Args:
        learned: Sets to learn from.
        measured: Conventions that have validation rows; tables that follow one of them stay whole.
        names: Names of the sets that are tables.

    Returns:
        Sets to learn from, and sets that choose thresholds and calibration.

    Raises:
        UnusableData: a table has too few calls or texts.
    """
    has_rows, tables = set(measured), set(names)
    learning: list[Examples] = []
    choosing: list[Examples] = []
    for examples in learned:
        if examples.source not in tables or examples.conventions in has_rows:
            learning.append(examples)
            continue
        groups = examples.dialogues or list(map(identity, examples.texts))
        chooses = np.array([crc32(group.encode()) % _FIFTHS == 0 for group in groups], np.bool_)
        if chooses.all() or not chooses.any():
            calls = len(set(groups))
            raise UnusableData(
                f"{examples.source} has too few calls or texts to part ({calls}): label more, or say in a column "
                "`split` which rows are train and which validation"
            )
        learning.append(examples.take(np.flatnonzero(~chooses)))
        choosing.append(examples.take(np.flatnonzero(chooses)))
        log.info(
            "a table names no validation rows, so a fifth of its calls or texts chooses thresholds",
            table=examples.source,
            teach=len(learning[-1]),
            choose=len(choosing[-1]),
        )
    return learning, choosing

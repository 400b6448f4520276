"""Every label judges once: rows that teach are held out by turns from fits of their own, and judge those.

Of a candidate that is fitted on all labels that teach, only the holdout can judge: a fifth. So as many more fits are
made as there are folds, each without its fold of the labels that the champion has not learnt. What the gate judges is
the way of fitting: the candidate on the holdout, and of each fold the fit that has seen neither its calls nor texts
near its own. Those fits have learnt a little less than the candidate, so the gain is rather understated. Source: Stone
(1974), Cross-validatory choice and assessment of statistical predictions,
https://doi.org/10.1111/j.2517-6161.1974.tb00994.x.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from training.data.examples import Examples
from training.data.leakage import NearTexts
from training.errors import UnusableOutput
from training.retrain.snapshot import Snapshot

FEWEST: Final = 100
"""New labels below which folds are not worth their fits."""


class Fold(NamedTuple):
    """A fit and the rows that it has not seen.

    Attributes:
        folder: the fitted bundle's folder.
        data: files that it is fitted on.
        rows: that it is judged on.
    """

    folder: Path
    data: tuple[str, ...]
    rows: Examples


def write_folds(snapshot: Snapshot, folder: Path, count: int) -> list[Fold]:
    """Write what each fold's fit learns from; none where the champion has learnt nearly all labels.

    Args:
        snapshot: of the labels.
        folder: for the files and the fits.
        count: folds.

    Raises:
        UnusableOutput: the folder cannot be written.
    """
    if not count or snapshot.fresh < FEWEST:
        return []
    fresh, folds = snapshot.by_turns(), []
    part = fresh.parts(count)
    for at in range(count):
        held_out, place = fresh.take(np.flatnonzero(part == at)), folder / f"fold-{at}-labels"
        try:
            place.mkdir(parents=True, exist_ok=True)
            data = [_without(Path(file), held_out, place) for file in snapshot.data]
        except OSError as error:
            raise UnusableOutput(f"{place} cannot be written: {error}. Free the disk or name another --work") from error
        *teaching, choosing = data
        # A fold of few calls may leave nothing to learn from, or be empty itself.
        if len(held_out) and any(teaching) and choosing:
            folds.append(Fold(folder / f"fold-{at}", tuple(str(file) for file in data if file), held_out))
    return folds


def _without(table: Path, held_out: Examples, place: Path) -> Path | None:
    """Write the rows of a snapshot's table that share no call with some rows, and are near to none; None if none is."""
    calls, near = set(held_out.dialogues or held_out.ids), NearTexts(held_out.texts)
    file, rows = place / table.name, 0
    with table.open(encoding="utf-8") as lines, file.open("w", encoding="utf-8") as kept:
        for line in lines:
            row = json.loads(line)
            if row["session_id"] not in calls and not near.nearest(row["text"]):
                kept.write(line)
                rows += 1
    return file if rows else None

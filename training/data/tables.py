"""Labelled texts of a user's own, in any form that `training.label_files` reads, by the rules of `labels import`.

Columns beyond those of a label, all optional: `id`; `original` or `translation`, the text in English, which teachers
read in its place (see `training.distill.targets`); `split`; `session_id`, whose rows are never parted to tune on some
and try the others. Rows may be annotated for nothing (`none`), to be scored by teachers.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, PARALLEL, PUBLIC, Examples
from training.data.public_sets import SOURCES
from training.errors import UnusableData
from training.label_files.label import BadRow
from training.label_files.options import ReadOptions
from training.label_files.reading import PlacedLabel, open_table, read_labels
from training.label_files.rows import Cells, list_names, quote

log = structlog.get_logger(__name__)

_SPLITS: Final = {
    "": "train",
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "holdout": "holdout",
}
"""What each name of a split means; `holdout` is that of a retraining's snapshot."""


def read_table(file: Path, split: str, convention: str = CALLS, name: str | None = None) -> Examples | None:
    """Read the rows of a split, or return None where there are none.

    Args:
        file: a label file.
        split: train, validation or test.
        convention: that the labels follow; a table named after a public set follows that set's.
        name: Name of the set; None takes the file's.

    Raises:
        UnusableData: the form of the file is not known, or a row holds no label.
    """
    if file.stem in {source.name for source in SOURCES}:
        convention = PUBLIC
    reading = read_labels(file, ReadOptions(unannotated=True, neutral_mixes=convention == PUBLIC))
    bad = list(reading.bad)
    rows = []
    for placed in reading.placed:
        named = str(placed.cells.get("split") or "")
        meant = _SPLITS.get(named.strip().lower())
        if meant is None:
            bad.append(BadRow(placed.where, f"the split {quote(named)} is none of train, validation (dev) and test"))
        elif meant == split:
            rows.append(placed)
    if contradicting := [each for each in reading.contradictions if each.where in {row.where for row in rows}]:
        log.info(
            "a table answers texts in two ways, and all of its rows are learnt",
            table=str(file),
            rows=len(contradicting),
            first=str(contradicting[0]),
        )
    if bad:
        more = f" ({len(bad) - 1} more rows are bad)" if len(bad) > 1 else ""
        raise UnusableData(f"{file}, {bad[0]}{more}")
    return _labelled(file, name or file.stem, rows, convention) if rows else None


def read_parallel(file: Path) -> Examples:
    """Read texts with a translation and no labels: nothing is annotated until teachers have scored them.

    Raises:
        UnusableData: the file has other columns, or a text has no translation.
    """
    table = open_table(file)
    if "text" not in table.columns or not {"translation", "original"} & set(table.columns):
        raise UnusableData(
            f"{file} has not both columns text and translation (found: {list_names(table.columns)}). Give each a text "
            "and, in English, a translation"
        )
    rows: list[tuple[str, Cells]] = []
    for where, row in table.rows:
        if isinstance(row, ValueError):
            raise UnusableData(f"{file}, {where}: {row}")
        if not all(isinstance(text, str) and text.strip() for text in (row.get("text"), _english(row))):
            raise UnusableData(f"{file}, {where}: has no text or no translation. Give each a text and its translation")
        rows.append((where, row))
    if not rows:
        raise UnusableData(f"{file} holds no rows. Give texts and, in English, their translations")
    nothing = np.zeros((len(rows), len(EMOTIONS)), np.float32)
    return _examples(PARALLEL, rows, nothing, nothing > 0, prefix=file.stem)


def _labelled(file: Path, name: str, rows: Sequence[PlacedLabel], convention: str) -> Examples:
    targets = _columns([row.label.emotions for row in rows]).astype(np.float32)
    annotated = _columns([row.label.annotated for row in rows])
    cells = [(row.where, {**row.cells, "text": row.label.text}) for row in rows]
    public = file.stem in {source.name for source in SOURCES}
    known = [row.label.relative_chance for row in rows]
    chances = np.array([chance or 1.0 for chance in known]) if any(known) else None
    examples = _examples(name, cells, targets, annotated)
    examples = replace(examples, conventions=(PUBLIC if public else convention,), chances=chances)
    # Ids of public sets join translations to their originals; another table's mean nothing beyond the table.
    return examples if public else replace(examples, ids=[f"{name}/{each}" for each in examples.ids])


def _columns(rows: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    return np.array([[emotion in row for emotion in EMOTIONS] for row in rows], np.bool_)


def _examples(
    source: str,
    rows: Sequence[tuple[str, Cells]],
    targets: NDArray[np.float32],
    annotated: NDArray[np.bool_],
    prefix: str = "",
) -> Examples:
    english = [_english(row) for _, row in rows]
    ids = [_words(row, "id") or f"{prefix or source}-{where.split()[-1]}" for where, row in rows]
    sessions = [_words(row, "session_id") for _, row in rows]
    return Examples(
        source=source,
        language="ru",
        ids=ids,
        texts=[str(row["text"]) for _, row in rows],
        targets=targets,
        annotated=annotated,
        english=english if all(english) else None,
        dialogues=[session or name for session, name in zip(sessions, ids, strict=True)] if any(sessions) else None,
    )


def _english(row: Cells) -> str:
    return _words(row, "original") or _words(row, "translation")


def _words(row: Cells, name: str) -> str:
    cell: Any = row.get(name)
    return "" if cell is None else str(cell)

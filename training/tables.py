"""Labelled texts of a user's own: a CSV, TSV or JSON-lines file with the columns `text` and `emotions`.

Columns beside those two, all optional: `id`; `original`, the text in English, which teachers read in its place (see
`training.distillation`); `annotated`, the emotions that could have been given, where not all seven; `split`, train,
validation or test.
"""

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.examples import Examples

SUFFIXES: Final = (".csv", ".tsv", ".jsonl")


def read_table(file: Path, split: str) -> Examples | None:
    """Read the rows of a split, or return None where there are none.

    Raises:
        UnusableData: the file has other columns, or a row a label that is none of the seven.
    """
    rows = [(line, row) for line, row in _rows(file) if (row.get("split") or "train") == split]
    if not rows:
        return None
    for name in ("text", "emotions"):
        if name not in rows[0][1]:
            raise UnusableData(
                f"{file} has no column {name} (found: {', '.join(map(str, rows[0][1]))}). Give it text and emotions"
            )
    english = [str(row.get("original") or "") for _, row in rows]
    return Examples(
        source=file.stem,
        language="ru",
        ids=[str(row.get("id") or f"{file.stem}-{line}") for line, row in rows],
        texts=[str(row["text"] or "") for _, row in rows],
        targets=np.array([_present(row["emotions"], f"{file}, line {line}") for line, row in rows], np.float32),
        annotated=np.array(
            [_present(row.get("annotated") or EMOTIONS, f"{file}, line {line}") for line, row in rows], np.bool_
        ),
        english=english if all(english) else None,
    )


def _rows(file: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    # Texts may be long, and the module's own limit would end in a trace.
    csv.field_size_limit(sys.maxsize)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix == ".jsonl":
                rows = [(at, json.loads(line)) for at, line in enumerate(lines, 1) if line.strip()]
            else:
                # Spreadsheets of a Russian locale write semicolons.
                delimiter = "\t" if file.suffix == ".tsv" else max(",;\t", key=lines.readline().count)
                lines.seek(0)
                rows = list(enumerate(csv.DictReader(lines, delimiter=delimiter), 2))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise UnusableData(f"{file} cannot be read: {error}. Give it in UTF-8, as CSV, TSV or JSON lines") from error
    if others := [line for line, row in rows if not isinstance(row, dict)]:
        raise UnusableData(f"{file}, line {others[0]}: is no JSON object. Give each line a text and emotions")
    return rows


def _present(cell: Any, where: str) -> list[bool]:
    names = re.findall(r"\w+", cell) if isinstance(cell, str) else list(cell or ())
    unknown = [name for name in names if name not in EMOTIONS]
    if unknown:
        raise UnusableData(f"{where}: {unknown[0]} is none of the emotions. Take {', '.join(EMOTIONS)}")
    return [emotion in names for emotion in EMOTIONS]

"""Reading labels from files: tables with a row a label, and what Label Studio exports as JSON, JSON-MIN, CSV or TSV.

A table (`.csv`, `.tsv`, `.jsonl`) has the columns `text` and `emotions`, and where there are any `annotated` (the
emotions that could have been given), `origin`, `annotator`, `labelled_at` (ISO 8601) and `transcript_id`.
"""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from training.errors import UnusableData
from training.labels.label import BadRow, Label, Row, label_of
from training.labels.label_studio import answers, flat_answer, is_flat

TABLE: Final = "table"
"""Origin of the labels in a table that names none."""

LABEL_STUDIO: Final = "label-studio"
"""The same of Label Studio's."""

_Rows = Iterator[tuple[str, Row]]
"""Rows, and where each stands."""


@dataclass
class Reading:
    """What a file gave.

    Attributes:
        labels: the good rows.
        bad: the others.
        skipped: tasks and annotations of Label Studio that nobody has answered, or that were skipped.
    """

    labels: list[Label] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    skipped: int = 0


def read_labels(file: Path, *, origin: str | None = None, annotator: str = "", prefix: str = "") -> Reading:
    """Read the labels of a file.

    Args:
        file: `.csv`, `.tsv`, `.jsonl`, or `.json` for Label Studio's export; its CSV is known by its columns.
        origin: of the rows that name none; None takes `TABLE` or `LABEL_STUDIO`.
        annotator: of the rows that name none.
        prefix: of the annotators that rows name.

    Raises:
        UnusableData: the file as a whole is not in one of these formats.
    """
    readers: Mapping[str, Callable[[Path], tuple[str, _Rows]]] = {
        ".csv": _table,
        ".tsv": _table,
        ".jsonl": lambda file: (TABLE, _json_rows(file)),
        ".json": lambda file: (LABEL_STUDIO, answers(_content(file), str(file))),
    }
    suffix = file.suffix.lower()
    if suffix not in readers:
        raise UnusableData(f"{file}: labels come as {', '.join(readers)}; .json is Label Studio's export")
    tool, rows = readers[suffix](file)
    reading = Reading()
    for where, row in rows:
        if row is None:
            reading.skipped += 1
            continue
        try:
            reading.labels.append(label_of(row, origin or tool, annotator, prefix))
        except ValueError as error:
            reading.bad.append(BadRow(where, str(error)))
    return reading


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnusableData(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnusableData(
            f"{file} is not in UTF-8 ({error.reason} at byte {error.start}). Save it in UTF-8"
        ) from error


def _table(file: Path) -> tuple[str, _Rows]:
    content = _content(file)
    header = content.partition("\n")[0]
    # Spreadsheets of a Russian locale write semicolons.
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    # A cell of megabytes is one bad row, not the end of the file.
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        reader.fieldnames = names = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise UnusableData(f"{file}, line 1: {error}. Name the columns in the first line") from error
    missing = [name for name in ("text", "emotions") if name not in names]
    if missing:
        raise UnusableData(
            f"{file} has no column {' and no column '.join(missing)} (found: {', '.join(names) or 'nothing'}). "
            "Name the columns in the first line"
        )
    rows = _rows(reader)
    if is_flat(names):
        return LABEL_STUDIO, ((where, row if isinstance(row, ValueError) else flat_answer(row)) for where, row in rows)
    return TABLE, rows


def _rows(reader: "csv.DictReader[str]") -> Iterator[tuple[str, Mapping[str, Any] | ValueError]]:
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            # After a broken quotation nobody knows where the next row begins.
            yield f"line {reader.line_num}", ValueError(f"{error}; the rest of the file is not read")
            return
        if row is None:
            return
        long = None in row
        yield f"line {reader.line_num}", ValueError("has more cells than there are columns") if long else row


def _json_rows(file: Path) -> _Rows:
    for at, line in enumerate(_content(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"line {at}", ValueError(f"is no JSON ({error})")
            continue
        yield f"line {at}", row if isinstance(row, dict) else ValueError("is no JSON object")

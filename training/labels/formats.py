"""Reading labels from files: tables with a row a label, and what Label Studio exports.

A table (`.csv`, `.tsv`, `.jsonl`) has the columns `text` and `emotions`, and where there are any `annotated` (the
emotions that could have been given), `origin`, `annotator`, `labelled_at` (ISO 8601) and `transcript_id`.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from training.errors import UnusableData
from training.labels.label import BadRow, Label, Row, label_of
from training.labels.label_studio import answers

TABLE: Final = "table"
"""Origin of the labels in a table that names none."""

LABEL_STUDIO: Final = "label-studio"
"""The same of Label Studio's."""


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


def read_labels(file: Path, *, origin: str | None = None, annotator: str = "") -> Reading:
    """Read the labels of a file.

    Args:
        file: `.csv`, `.tsv`, `.jsonl`, or `.json` for Label Studio's export.
        origin: of the rows that name none; None takes `TABLE` or `LABEL_STUDIO`.
        annotator: of the rows that name none.

    Raises:
        UnusableData: the file as a whole is not in one of these formats.
    """
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _json_rows, ".json": _exported_rows}
    if file.suffix not in readers:
        raise UnusableData(f"{file}: labels come as {', '.join(readers)}; .json is Label Studio's export")
    default = origin or (LABEL_STUDIO if file.suffix == ".json" else TABLE)
    reading = Reading()
    for where, row in readers[file.suffix](file):
        if row is None:
            reading.skipped += 1
            continue
        try:
            reading.labels.append(label_of(row, default, annotator))
        except ValueError as error:
            reading.bad.append(BadRow(where, str(error)))
    return reading


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableData(f"{file} cannot be read: {error}. Give it in UTF-8") from error


def _csv_rows(file: Path) -> Iterator[tuple[str, Row]]:
    content = _content(file)
    header = content.partition("\n")[0]
    # Spreadsheets of a Russian locale write semicolons.
    delimiter = "\t" if file.suffix == ".tsv" else max(",;", key=header.count)
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in ("text", "emotions") if name not in names]
    if missing:
        raise UnusableData(
            f"{file} has no column {' and no column '.join(missing)} (found: {', '.join(names) or 'nothing'}). "
            "Name the columns in the first line"
        )
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


def _json_rows(file: Path) -> Iterator[tuple[str, Row]]:
    for at, line in enumerate(_content(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield f"line {at}", ValueError(f"is no JSON ({error})")
            continue
        yield f"line {at}", row if isinstance(row, dict) else ValueError("is no JSON object")


def _exported_rows(file: Path) -> Iterator[tuple[str, Row]]:
    return answers(_content(file), str(file))

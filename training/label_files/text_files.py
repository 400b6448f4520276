"""Containers of text: CSV and TSV with a header, JSON lines, and JSON lists of objects."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from training.errors import UnusableData
from training.label_files.emotion_names import NAMES, fold, is_mark, names_emotions
from training.label_files.rows import Cells, PlacedRows, RawTable, named_cells, of_objects, quote

_NUMBERS: Final = re.compile(r"\[[\d ]*\]")
"""Labels as the public sets write them."""


def read_text(file: Path) -> str:
    """Read a file in UTF-8, with or without a byte order mark.

    Raises:
        UnusableData: the file cannot be read, or is in another encoding.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnusableData(f"{file} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1251"
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableData(
            f"{file}, line {line}: is not in UTF-8 ({error.reason} at byte {error.start}). Save it in UTF-8: the "
            f"encoding may be {kind}, and then iconv -f {kind} -t utf-8 does it"
        ) from error


def read_csv(
    file: Path, names: Mapping[str, str] = NAMES, *, header: Sequence[str] = (), quotes: bool = True
) -> RawTable:
    """Read a table; by commas or, as spreadsheets of a Russian locale write it, by semicolons or tabs.

    Args:
        file: the table, in UTF-8.
        names: the emotion that each folded name means; by them a row shows inside another row's cell.
        header: names of the columns of a file whose first line is a row already.
        quotes: quotation marks enclose cells; else they are characters as any other.

    Raises:
        UnusableData: the file cannot be read, or its first line names no columns.
    """
    content = read_text(file)
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=content.partition("\n")[0].count)
    # A cell of megabytes is one bad row, not the end of the file.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    try:
        columns = list(header) or [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UnusableData(f"{file}, line 1: {error}. Name the columns in the first line") from error
    return RawTable(columns, _csv_rows(reader, columns, delimiter, names))


def _csv_rows(reader: Any, columns: Sequence[str], delimiter: str, names: Mapping[str, str]) -> PlacedRows:
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # After a broken quotation nobody knows where the next row begins.
            yield f"line {reader.line_num}", ValueError(f"{error}; the rest of the file is not read")
            return
        if cells is None:
            return
        if not cells:
            continue
        where = f"line {reader.line_num}"
        if len(cells) > len(columns):
            yield where, ValueError("has more cells than there are columns")
        elif _swallowed(cells, columns, delimiter, names):
            yield where, ValueError(f"holds whole rows in one cell; is a quotation mark left open in line {first}?")
        else:
            yield where, named_cells(columns, cells)


def _swallowed(cells: Sequence[str], columns: Sequence[str], delimiter: str, names: Mapping[str, str]) -> bool:
    """Tell whether a cell holds other rows, as behind a quotation mark that is not closed where it should be."""
    # From the right, for a text may hold the delimiter.
    marks = [at - len(columns) for at, column in enumerate(columns) if fold(column) in names]
    for at, cell in enumerate(cells):
        if "\n" not in cell or delimiter not in cell:
            continue
        first, *others = cell.split("\n")
        # The cell begins within the first of its rows, and the others are whole; names in a last cell may have lines.
        begins = len(columns) - at if at + 1 < len(columns) else len(columns)
        for line, fewest in [(first, begins), *((line, len(columns)) for line in others)]:
            pieces = [piece.strip(' "\r') for piece in line.split(delimiter)]
            if len(pieces) >= fewest and _has_answer(pieces, marks, names):
                return True
    return False


def _has_answer(pieces: Sequence[str], marks: Sequence[int], names: Mapping[str, str]) -> bool:
    if any(names_emotions(piece, names) or _NUMBERS.fullmatch(piece) for piece in pieces):
        return True
    marked = [pieces[at] for at in marks if -at <= len(pieces)]
    return any(marked) and all(is_mark(piece) for piece in marked)


def read_json(file: Path) -> RawTable:
    """Read objects: one a line, or a list of them.

    Raises:
        UnusableData: the file cannot be read, or is no JSON of objects as a whole.
    """
    content = read_text(file)
    begins_as_list = content.lstrip().startswith("[")
    if file.suffix.lower() == ".jsonl" and not begins_as_list:
        return _of_lines(file, content)
    try:
        listed = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        if file.suffix.lower() == ".jsonl" or (not begins_as_list and "Extra data" in str(error)):
            return _of_lines(file, content)
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise UnusableData(f"{file} is no JSON: {reason}. Give a list of objects, or an object a line") from error
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise UnusableData(f"{file} is no list of objects. Export from your tool as JSON, or write an object a line")
    return of_objects([(f"task {quote(row.get('id', f'number {at}'))}", row) for at, row in enumerate(listed, 1)])


def _of_lines(file: Path, content: str) -> RawTable:
    table = of_objects(list(_json_lines(content)))
    for where, row in table.rows if not table.columns else ():
        if isinstance(row, ValueError):
            raise UnusableData(f"{file}, {where}: {row}. Write an object a line, with a text and emotions")
    return table


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("names a field twice")
    return fields


def _json_lines(content: str) -> Iterator[tuple[str, Cells | ValueError]]:
    for at, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
            yield f"line {at}", ValueError(f"is no JSON ({reason})")
            continue
        yield f"line {at}", row if isinstance(row, dict) else ValueError("is no JSON object")

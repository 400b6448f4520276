"""Workbooks (.xlsx, .xls, .ods) by python-calamine: the one sheet that holds labels, its first row naming columns."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile
from zlib import error as DamagedStream  # noqa: N812 - zlib calls it error.

from training.errors import UnusableData
from training.label_files.columns import find_columns
from training.label_files.options import ReadOptions
from training.label_files.rows import PlacedRows, RawTable, named_cells

SUFFIXES: Final = (".xlsx", ".xls", ".ods")


def read_workbook(file: Path, options: ReadOptions) -> RawTable:
    """Read the sheet of a workbook that holds labels.

    Raises:
        UnusableData: it is no workbook, or no sheet or several could be meant.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - an extra.
    except ModuleNotFoundError:
        raise UnusableData(
            f"{file} is a workbook, which needs python-calamine: pip install 'asr-emotions[excel]'"
        ) from None
    try:
        content = file.read_bytes()
        if content.startswith(b"PK") and (damaged := ZipFile(io.BytesIO(content)).testzip()):
            raise UnusableData(f"{file} is a damaged workbook: {damaged} is not as it was written. Save it again")
        with CalamineWorkbook.from_filelike(io.BytesIO(content)) as book:
            sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except (CalamineError, BadZipFile, DamagedStream, NotImplementedError, OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is damaged"
        raise UnusableData(f"{file} cannot be read as a workbook: {reason}. Save it again, or as CSV") from error
    except RuntimeError as error:  # Of an encrypted part, by zipfile.
        raise UnusableData(f"{file} is protected by a password. Save it without one") from error
    return _sheet_with_labels({name: _table(rows) for name, rows in sheets.items() if rows}, file, options)


def _sheet_with_labels(sheets: dict[str, RawTable], file: Path, options: ReadOptions) -> RawTable:
    if len(sheets) == 1:
        return next(iter(sheets.values()))
    meant = []
    for name, table in sheets.items():
        try:
            find_columns(table.columns, str(file), options)
        except UnusableData:
            continue
        meant.append(name)
    if len(meant) != 1:
        raise UnusableData(
            f"{file} has {len(meant)} sheets with a text and its emotions ({', '.join(meant) or 'none of them'}), and "
            "one is read. Leave one in the file, with the names of the columns in its first row"
        )
    return sheets[meant[0]]


def _table(rows: Sequence[Sequence[Any]]) -> RawTable:
    columns = [str(_plain(cell)).strip() for cell in rows[0]]
    return RawTable(columns, _rows(columns, rows))


def _rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> PlacedRows:
    for at, row in enumerate(rows[1:], 2):
        cells = [_plain(cell) for cell in row]
        if any(cell != "" for cell in cells):
            yield f"row {at}", named_cells(columns, cells)


def _plain(cell: Any) -> Any:
    """Return a whole number without its point, as the sheet shows it, and a date as text."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return cell.isoformat() if hasattr(cell, "isoformat") else cell

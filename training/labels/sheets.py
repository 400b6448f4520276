"""Tasks as a sheet to be filled in with a spreadsheet program; `training.label_files.sheet` reads it back."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from schemas.emotions import EMOTIONS
from training.errors import UnusableOutput
from training.label_files.sheet import COLUMNS, PREVIOUS_TURNS, guard

SHEETS: Final = {"csv": "to-label.csv", "xlsx": "to-label.xlsx"}
"""Name of the file for each kind."""

_HINT: Final = f"One or several, with commas between: {', '.join(EMOTIONS)}"
_WIDTHS: Final = {PREVIOUS_TURNS: 50, "text": 60, "emotions": 25}
"""Characters that a column shows, where it is not 14."""


def write_sheet(folder: Path, kind: str, tasks: Sequence[dict[str, Any]]) -> None:
    """Write tasks as a sheet into a new folder; the model's answers stay out.

    Args:
        folder: is made.
        kind: csv or xlsx.
        tasks: with previous turns among their data.

    Raises:
        UnusableOutput: the folder exists or cannot be written, or xlsx needs a package that is not there.
    """
    rows = [[guard(task["data"].get(name)) for name in COLUMNS] for task in tasks]
    try:
        folder.mkdir(parents=True)
        file = folder / SHEETS[kind]
        if kind == "xlsx":
            _write_workbook(file, rows)
            return
        # Excel knows UTF-8 by the mark, and Russian locales part cells by semicolons.
        with file.open("w", encoding="utf-8-sig", newline="") as lines:
            csv.writer(lines, delimiter=";").writerows([COLUMNS, *rows])
    except FileExistsError as error:
        raise UnusableOutput(f"{folder} exists. Name a new folder with --output, or move that one away") from error
    except OSError as error:
        raise UnusableOutput(f"{folder} cannot be written: {error}. Name another --output") from error


def require_writer(kind: str) -> None:
    """Refuse a workbook before anything is drawn, where nothing can write one.

    Raises:
        UnusableOutput: the package is not there.
    """
    if kind == "xlsx":
        try:
            import xlsxwriter  # noqa: F401, PLC0415 - an extra.
        except ModuleNotFoundError:
            raise UnusableOutput("--for xlsx needs xlsxwriter: pip install 'asr-emotions[excel]'") from None


def _write_workbook(file: Path, rows: Sequence[Sequence[str]]) -> None:
    import xlsxwriter  # noqa: PLC0415 - an extra.

    # A text stays a text, even where it begins with a sign of a formula.
    with xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet("to label")
        wrapped, bold = book.add_format({"text_wrap": True, "valign": "top"}), book.add_format({"bold": True})
        for column, name in enumerate(COLUMNS):
            sheet.set_column(column, column, _WIDTHS.get(name, 14), wrapped)
            sheet.write_string(0, column, name, bold)
        for at, row in enumerate(rows, 1):
            for column, cell in enumerate(row):
                sheet.write_string(at, column, cell)
        sheet.write_comment(0, COLUMNS.index("emotions"), _HINT)
        sheet.freeze_panes(1, 0)

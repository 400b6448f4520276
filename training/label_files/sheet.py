"""The sheet that `labels export --for csv|xlsx` writes and an annotator fills in."""

from collections.abc import Collection
from typing import Any, Final

from training.label_files.options import ReadOptions
from training.label_files.rows import LabelRows, RawTable

PREVIOUS_TURNS: Final = "previous_turns"
"""The column, and the field of a task's data, that holds the turns before the text, one a line."""

COLUMNS: Final = (
    *(PREVIOUS_TURNS, "speaker", "source", "text", "emotions", "annotator"),
    *("transcript_id", "session_id", "drawn_by", "relative_chance"),
)
"""The columns, in the order in which a reader needs them."""

_GUARD: Final = "'"
_CHANGED: Final = frozenset({"true", "false", "истина", "ложь"})


def knows(columns: Collection[str]) -> bool:
    """Tell by the names of its columns whether a table is such a sheet."""
    return {PREVIOUS_TURNS, "text", "emotions", "transcript_id"} <= set(columns)


def rows(table: RawTable, options: ReadOptions) -> LabelRows:
    """Yield a row for each text; one whose emotions are blank is one that nobody has answered."""
    for where, row in table.rows:
        if isinstance(row, ValueError):
            yield where, row
        elif row.get("emotions") in ("", None):
            yield where, None
        else:
            columns = {name: options.columns.get(name, name) for name in row}
            yield where, {name: unguard(row.get(column)) for name, column in columns.items()}


def guard(cell: Any) -> str:
    """Return a cell that a spreadsheet program neither computes nor takes for a number, a date or a truth value.

    A text such as "=1+1", "0006" or "5 мая" gets an apostrophe before it.
    """
    words = "" if cell is None else str(cell)
    return words if not words or (words[0].isalpha() and words.lower() not in _CHANGED) else _GUARD + words


def unguard(cell: Any) -> Any:
    """Return what a cell was before `guard`."""
    return cell.removeprefix(_GUARD) if isinstance(cell, str) else cell

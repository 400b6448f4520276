"""A label file as rows: what every container (CSV, JSON, Excel, Parquet) gives, before its columns have a meaning."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

_SHOWN: Final = 40
"""Characters of a wrong cell that its complaint quotes."""

_LISTED: Final = 20
"""Names of columns that a complaint lists."""

Cells = Mapping[str, Any]

PlacedRows = Iterable[tuple[str, Cells | ValueError]]
"""Rows, or why there is none, each with its place in the file: "line 7", "task 12"."""

LabelRows = Iterator[tuple[str, Cells | ValueError | None]]
"""Rows whose cells bear the names of `options.FIELDS`, or why there is none; None for what nobody has answered."""


class RawTable(NamedTuple):
    """A file's rows as they stand.

    Attributes:
        columns: names of the columns, or of the fields of any object, in the order in which they come.
        rows: the rows.
    """

    columns: Sequence[str]
    rows: PlacedRows


def of_objects(rows: Sequence[tuple[str, Cells | ValueError]]) -> RawTable:
    """Make a table of objects, whose columns are the fields of all of them."""
    names = (str(name) for _, row in rows if not isinstance(row, ValueError) for name in row)
    return RawTable(list(dict.fromkeys(names)), rows)


def named_cells(columns: Sequence[str], cells: Sequence[Any]) -> Cells | ValueError:
    """Return a row's cells by their columns, or why they are no row; rows may be shorter than the header."""
    # pandas writes the number of each row into a first column without a name.
    if any(str(cell).strip() for name, cell in list(zip(columns, cells, strict=False))[1:] if not name):
        return ValueError("has a cell in a column without a name; put several labels in quotation marks")
    return dict(zip(columns, cells, strict=False))


def quote(value: Any) -> str:
    """Return a wrong cell as a complaint shows it: the beginning, in one line."""
    return " ".join(str(value)[:_SHOWN].split())


def list_names(names: Iterable[str]) -> str:
    """Return names of columns as a message shows them, no more than the first of many."""
    shown = [quote(name) for name in names]
    return ", ".join([*shown[:_LISTED], *(["…"] if len(shown) > _LISTED else [])]) or "nothing"

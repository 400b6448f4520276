"""Prodigy's JSON lines: choices among several, or a yes or no to one label at a time.

Source: https://prodi.gy/docs/api-interfaces (choice, classification), https://prodi.gy/docs/api-database (`db-out`).
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from training.label_files.options import ABOUT, ReadOptions
from training.label_files.rows import Cells, LabelRows, RawTable, quote

PRODIGY: Final = "prodigy"

_ANSWERS: Final = ("accept", "reject", "ignore")


def knows(columns: Collection[str]) -> bool:
    """Tell by the names of its fields whether a file is Prodigy's."""
    return "answer" in columns and ("_task_hash" in columns or "_input_hash" in columns)


def rows(table: RawTable, options: ReadOptions) -> LabelRows:
    """Yield a row for each choice, and one for all the yes and no that a person gave to one text."""
    # By text and annotator, since a later row of both replaces an earlier one in the table of labels.
    binary: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for where, row in table.rows:
        if isinstance(row, ValueError):
            yield where, row
        elif row.get("answer") not in _ANSWERS:
            yield where, ValueError(f"has an answer that is none of {', '.join(_ANSWERS)}")
        elif row["answer"] == "ignore" or ("accept" in row and row["answer"] == "reject"):
            yield where, None
        elif "accept" in row:
            yield where, _cells(row, row["accept"], options)
        elif not isinstance(row.get("label"), str):
            yield where, ValueError("has neither accept nor a label")
        else:
            name, yes = row["label"], row["answer"] == "accept"
            cells = _cells(row, {name: yes}, options)
            _, joined = binary.setdefault((str(cells["text"]), str(cells["annotator"])), (where, cells))
            if joined["emotions"].setdefault(name, yes) != yes:
                yield where, ValueError(f"both accepts and rejects {quote(name)}; the first answer is kept")
            joined["labelled_at"] = cells["labelled_at"]
    yield from binary.values()


def _cells(row: Cells, emotions: Any, options: ReadOptions) -> dict[str, Any]:
    meta = row.get("meta")
    about = {**(meta if isinstance(meta, dict) else {}), **row}
    return {
        **{name: about.get(name) for name in ABOUT},
        "text": row.get(options.columns.get("text", "text")),
        "emotions": emotions,
        "annotator": row.get("_annotator_id") or row.get("_session_id"),
        "labelled_at": _moment(row.get("_timestamp")),
    }


def _moment(timestamp: Any) -> str | None:
    """Return seconds since 1970 as a time; what is none is left to be complained of."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None if timestamp is None else str(timestamp)

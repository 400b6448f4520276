"""doccano's exports of text classification as JSON, JSON lines or CSV: `text`, `label`, `Comments`.

Source: what doccano 1.8.4 writes. It names no annotator; where each has a file, its name is theirs.
"""

from collections.abc import Collection
from typing import Final

from training.label_files.options import ABOUT, ReadOptions
from training.label_files.rows import LabelRows, RawTable

DOCCANO: Final = "doccano"


def knows(columns: Collection[str]) -> bool:
    """Tell by the names of its fields whether a file is doccano's."""
    return {"text", "label", "Comments"} <= set(columns)


def rows(table: RawTable, options: ReadOptions) -> LabelRows:
    """Yield a row for each text; a text without a label is one that nobody has answered."""
    for where, row in table.rows:
        if isinstance(row, ValueError):
            yield where, row
        elif row.get("label") in ("", []):
            yield where, None
        else:
            text = row.get(options.columns.get("text", "text"))
            yield where, {**{name: row.get(name) for name in ABOUT}, "text": text, "emotions": row.get("label")}

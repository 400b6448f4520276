"""Argilla's records, flat: one row a record, with `QUESTION.responses`, its users and its states.

Source: what Argilla 2.8.0 writes by `records.to_list(flatten=True)` and `records.to_datasets()`. Answers that are
drafts or discarded are none, and suggestions are a model's. `records.to_json` does not say which were submitted.
"""

from collections.abc import Collection
from typing import Final

from training.errors import UnusableData
from training.label_files.options import ABOUT, ReadOptions
from training.label_files.rows import Cells, LabelRows, RawTable, list_names

ARGILLA: Final = "argilla"

_QUESTION: Final = "emotions"
_RESPONSES: Final = ".responses"
_STATES: Final = ("submitted", "draft", "discarded")


def knows(columns: Collection[str]) -> bool:
    """Tell by the names of its fields whether a file is Argilla's."""
    return {"fields", "responses"} <= set(columns) or any(
        f"{each}.users" in columns for each in columns if each.endswith(_RESPONSES)
    )


def rows(table: RawTable, options: ReadOptions) -> LabelRows:
    """Yield a row for each answer to the question, or None for a record that nobody has answered.

    Raises:
        UnusableData: it does not say which answers were submitted, or has no such question.
    """
    if "responses" in table.columns:
        raise UnusableData(
            "Argilla's to_json does not say which answers were submitted and which are drafts. Write the records by "
            "dataset.records.to_datasets().to_json(FILE)"
        )
    question = options.control or _QUESTION
    if question + _RESPONSES not in table.columns:
        others = [name.removesuffix(_RESPONSES) for name in table.columns if name.endswith(_RESPONSES)]
        raise UnusableData(f"no question {question} is answered (found: {list_names(others)}). Name it with --control")
    for where, row in table.rows:
        if isinstance(row, ValueError):
            yield where, row
            continue
        answers = _answers(row, question)
        if answers is None:
            yield where, ValueError(f"has responses to {question} whose users or states do not fit")
        elif not answers:
            yield where, None
        for value, user, state in answers or ():
            yield where, _cells(row, value, user, options) if state == "submitted" else None


def _answers(row: Cells, question: str) -> list[tuple[object, object, object]] | None:
    """Return value, user and state of each answer; None where they do not fit together."""
    columns = [row.get(f"{question}{_RESPONSES}{part}") for part in ("", ".users", ".status")]
    lists = [[] if column is None else column for column in columns]
    if not all(isinstance(each, list) for each in lists) or len(set(map(len, lists))) > 1:
        return None
    return list(zip(*lists, strict=True)) if all(state in _STATES for state in lists[2]) else None


def _cells(row: Cells, value: object, user: object, options: ReadOptions) -> Cells:
    text = row.get(options.columns.get("text", "text"))
    return {**{name: row.get(name) for name in ABOUT}, "text": text, "emotions": value, "annotator": user}

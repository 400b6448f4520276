"""Label Studio's answers: exports as JSON, JSON-MIN, CSV or TSV, and snapshots.

Sources: https://labelstud.io/guide/task_format, https://labelstud.io/guide/export; and what Label Studio 1.23 writes,
which is kept in tests/data/label-studio.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from training.errors import UnusableData
from training.label_files.options import ABOUT, ReadOptions
from training.label_files.rows import Cells, LabelRows, RawTable, list_names

LABEL_STUDIO: Final = "label-studio"

CONTROL: Final = "emotions"
"""Name of the control that holds the emotions, as the configuration of `labels export` has it."""

_FLAT: Final = frozenset({"annotation_id", "annotator"})
_REGION: Final = frozenset({"start", "end", "x", "y"})
_ALWAYS: Final = _FLAT | {"id", "text", "created_at", "updated_at", "lead_time", "agreement", "history"}


def knows(columns: Collection[str]) -> bool:
    """Tell by the names of its fields whether a file is Label Studio's."""
    return set(columns) >= _FLAT or "annotations" in columns


def rows(table: RawTable, options: ReadOptions) -> LabelRows:
    """Yield a row for each answer by the control, and None for each that was skipped and each task without one.

    Raises:
        UnusableData: nobody has answered by that control, but by others.
    """
    control = options.control or CONTROL
    flat = set(table.columns) >= _FLAT
    placed = list(table.rows)
    tasks = [row for _, row in placed if not isinstance(row, ValueError)]
    found = set(table.columns) - _ALWAYS if flat else {name for task in tasks for name in _controls(task)}
    if found and control not in found:
        raise UnusableData(
            f"no answer is by the control {control} (found: {list_names(sorted(map(str, found)))}). Name it with "
            "--control NAME"
        )
    for where, row in placed:
        if isinstance(row, ValueError):
            yield where, row
        elif flat:
            yield where, _flat_answer(row, control, options)
        else:
            yield from ((where, answer) for answer in _task_answers(row, control, options))


def _controls(task: Cells) -> Iterator[str]:
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        results = annotation.get("result") if isinstance(annotation, dict) else None
        for result in results if isinstance(results, list) else ():
            if isinstance(result, dict) and result.get("type") == "choices":
                yield str(result.get("from_name"))


def _flat_answer(cells: Cells, control: str, options: ReadOptions) -> Cells | ValueError | None:
    """Return the row that stands for one annotation in JSON-MIN, CSV or TSV, which leave out what was skipped."""
    if cells.get("annotation_id") in ("", None):
        return None
    cell = cells.get(control)
    # One choice stands as it is; several are written as {"choices": [...]}.
    if isinstance(cell, str) and cell.startswith("{"):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return ValueError(f"has {control} that are no JSON")
    chosen = cell.get("choices") if isinstance(cell, dict) else cell
    return _cells(cells, chosen or [], cells, cells.get("annotator"), options)


def _task_answers(task: Cells, control: str, options: ReadOptions) -> Iterator[Cells | ValueError | None]:
    data, annotations = task.get("data"), task.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list):
        yield ValueError("has no data or no annotations. Export from Label Studio as JSON")
        return
    if not annotations:
        yield None
    for annotation in annotations:
        yield _answer(data, annotation, control, options)


def _answer(data: Cells, annotation: Any, control: str, options: ReadOptions) -> Cells | ValueError | None:
    if not isinstance(annotation, dict) or not isinstance(results := annotation.get("result"), list):
        return ValueError("has an annotation without result")
    if annotation.get("was_cancelled"):
        return None
    emotions = _choices(results, control)
    if isinstance(emotions, ValueError):
        return emotions
    who = annotation.get("completed_by")
    # By number, where there is one: most exports give nothing else, and each is to name a person alike.
    return _cells(
        data, emotions, annotation, (who.get("id") or who.get("email")) if isinstance(who, dict) else who, options
    )


def _choices(results: list[Any], control: str) -> list[Any] | ValueError:
    chosen: list[Any] = []
    subjects = set()
    for result in results:
        if not isinstance(result, dict) or not isinstance(value := result.get("value"), dict):
            return ValueError("has a result without a value")
        if result.get("type") != "choices" or str(result.get("from_name")) != control:
            continue
        if not isinstance(value.get("choices"), list):
            return ValueError(f"has {control} that are no list of choices")
        if _REGION & value.keys():
            return ValueError(f"has {control} of a part of the text; labels are of whole texts")
        chosen += value["choices"]
        subjects.add(str(result.get("to_name")))
    if results and not subjects:
        return ValueError(f"has no answer by the control {control}")
    if len(subjects) > 1:
        return ValueError(f"has {control} of several things ({list_names(sorted(subjects))}); labels are of one text")
    return chosen


def _cells(data: Cells, emotions: Any, times: Mapping[str, Any], annotator: Any, options: ReadOptions) -> Cells:
    return {
        **{name: data.get(name) for name in ABOUT},
        "text": data.get(options.columns.get("text", "text")),
        "emotions": emotions,
        "annotator": annotator,
        "labelled_at": times.get("updated_at") or times.get("created_at"),
    }

"""Label Studio's side: its labelling configuration, its tasks, its answers.

Sources: https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions, https://labelstud.io/tags/choices,
https://labelstud.io/guide/export; and what Label Studio 1.23 writes, which is kept in tests/data/label-studio.
"""

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.labels.label import Row

_IN_RUSSIAN: Final = dict(
    zip(EMOTIONS, ("злость", "отвращение", "страх", "радость", "грусть", "удивление", "нейтрально"), strict=True)
)

_PREDICTOR: Final = "asr-emotions"
"""Whose predictions they are. One name for all models: a project shows those of one name only, and in the course of
time its tasks come from several. The model's own version is among the task's data."""

_WANTED: Final = "Export from Label Studio as JSON, and name a table of your own .jsonl"


def configuration() -> str:
    """Return the labelling configuration: a text, and the emotions to tick, with the keys 1 to 7."""
    view = ET.Element("View")
    ET.SubElement(view, "Text", name="text", value="$text")
    choices = ET.SubElement(view, "Choices", name="emotions", toName="text", choice="multiple", required="true")
    for key, (emotion, russian) in enumerate(_IN_RUSSIAN.items(), 1):
        ET.SubElement(choices, "Choice", value=emotion, hint=russian, hotkey=str(key))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def task(data: Mapping[str, Any], emotions: list[str], score: float) -> dict[str, Any]:
    """Return a task with the model's answer for the annotator to correct.

    Args:
        data: to show and to keep; `text` must be among it, and `transcript_id` comes back with the answer.
        emotions: the model's.
        score: how sure it is of them, 0 to 1; Label Studio can sort by it.
    """
    choices = {"from_name": "emotions", "to_name": "text", "type": "choices", "value": {"choices": emotions}}
    # Choices of nothing would be an answer that nobody can see.
    prediction = {"model_version": _PREDICTOR, "score": score, "result": [choices] if emotions else []}
    return {"data": dict(data), "predictions": [prediction]}


def answers(content: str, file: str) -> Iterator[tuple[str, Row]]:
    """Yield each annotation of an export as a row, with the task it belongs to.

    Args:
        content: of the file, JSON or JSON-MIN.
        file: its name, for the message.

    Raises:
        UnusableData: it is no export as JSON.
    """
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableData(f"{file} is no JSON: {error}. {_WANTED}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UnusableData(f"{file} is no list of tasks. {_WANTED}")
    for at, task in enumerate(tasks, 1):
        where = f"task {task.get('id', f'number {at}')}"
        data, annotations = task.get("data"), task.get("annotations")
        if is_flat(task):
            yield where, flat_answer(task)
        elif not isinstance(data, dict) or not isinstance(annotations, list):
            yield where, ValueError(f"has no data or no annotations. {_WANTED}")
        elif not annotations:
            yield where, None
        else:
            yield from ((where, _answer(data, annotation)) for annotation in annotations)


def is_flat(names: Container[str]) -> bool:
    """Tell by the names of its cells whether a row is of Label Studio's JSON-MIN, CSV or TSV."""
    return "annotation_id" in names and "annotator" in names


def flat_answer(cells: Mapping[str, Any]) -> Row:
    """Return the row that stands for one annotation in JSON-MIN, CSV or TSV, which leave out what was skipped."""
    if cells["annotation_id"] in ("", None):
        return None
    try:
        chosen = _chosen(cells.get("emotions"))
    except ValueError as error:
        return ValueError(f"has emotions that are no JSON ({error})")
    return _row(cells, chosen, cells, cells["annotator"])


def _chosen(cell: Any) -> Any:
    """Return one choice as it stands, or several, which are written as {"choices": [...]}."""
    if isinstance(cell, str) and cell.startswith("{"):
        cell = json.loads(cell)
    return (cell.get("choices") if isinstance(cell, dict) else cell) or []


def _answer(data: Mapping[str, Any], annotation: Any) -> Row:
    if not isinstance(annotation, dict) or not isinstance(results := annotation.get("result"), list):
        return ValueError("has an annotation without result")
    if annotation.get("was_cancelled"):
        return None
    values = [result.get("value") for result in results if isinstance(result, dict) and result.get("type") == "choices"]
    chosen = [value.get("choices") for value in values if isinstance(value, dict)]
    emotions = [choice for choices in chosen if isinstance(choices, list) for choice in choices]
    who = annotation.get("completed_by")
    # By number, where there is one: most exports give nothing else, and each is to name a person alike.
    return _row(data, emotions, annotation, (who.get("id") or who.get("email")) if isinstance(who, dict) else who)


def _row(data: Mapping[str, Any], emotions: Any, times: Mapping[str, Any], annotator: Any) -> Row:
    return {
        "text": data.get("text"),
        "emotions": emotions,
        "annotator": annotator,
        "labelled_at": times.get("updated_at") or times.get("created_at"),
        "transcript_id": data.get("transcript_id"),
    }

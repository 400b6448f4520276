"""Label Studio's side: its labelling configuration, its tasks, its answers.

Sources: https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions, https://labelstud.io/tags/choices.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.labels.label import Row

_IN_RUSSIAN: Final = dict(
    zip(EMOTIONS, ("злость", "отвращение", "страх", "радость", "грусть", "удивление", "нейтрально"), strict=True)
)


def configuration() -> str:
    """Return the labelling configuration: a text, and the emotions to tick, with the keys 1 to 7."""
    view = ET.Element("View")
    ET.SubElement(view, "Text", name="text", value="$text")
    choices = ET.SubElement(view, "Choices", name="emotions", toName="text", choice="multiple", required="true")
    for key, (emotion, russian) in enumerate(_IN_RUSSIAN.items(), 1):
        ET.SubElement(choices, "Choice", value=emotion, hint=russian, hotkey=str(key))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def task(data: Mapping[str, Any], emotions: list[str], score: float, model_version: str) -> dict[str, Any]:
    """Return a task with the model's answer for the annotator to correct.

    Args:
        data: to show and to keep; `text` must be among it, and `transcript_id` comes back with the answer.
        emotions: the model's.
        score: how sure it is of them, 0 to 1; Label Studio can sort by it.
        model_version: of the model.
    """
    choices = {"from_name": "emotions", "to_name": "text", "type": "choices", "value": {"choices": emotions}}
    # Choices of nothing would be an answer that nobody can see.
    prediction = {"model_version": model_version, "score": score, "result": [choices] if emotions else []}
    return {"data": dict(data), "predictions": [prediction]}


def answers(content: str, file: str) -> Iterator[tuple[str, Row]]:
    """Yield each annotation of an export as a row, with the task it belongs to.

    Args:
        content: of the file.
        file: its name, for the message.

    Raises:
        UnusableData: it is no export as JSON.
    """
    try:
        tasks = json.loads(content)
    except ValueError as error:
        raise UnusableData(f"{file} is no JSON: {error}. Export from Label Studio as JSON") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UnusableData(f"{file} is no list of tasks. Export from Label Studio as JSON")
    for at, task in enumerate(tasks, 1):
        where = f"task {task.get('id', f'number {at}')}"
        data, annotations = task.get("data"), task.get("annotations")
        if not isinstance(data, dict) or not isinstance(annotations, list):
            yield where, ValueError("has no data or no annotations. Export as JSON, not as JSON-MIN")
        elif not annotations:
            yield where, None
        else:
            yield from ((where, _answer(data, annotation)) for annotation in annotations)


def _answer(data: Mapping[str, Any], annotation: Any) -> Row:
    if not isinstance(annotation, dict) or not isinstance(results := annotation.get("result"), list):
        return ValueError("has an annotation without result")
    if annotation.get("was_cancelled"):
        return None
    values = [result.get("value") for result in results if isinstance(result, dict) and result.get("type") == "choices"]
    chosen = [value.get("choices") for value in values if isinstance(value, dict)]
    who = annotation.get("completed_by")
    return {
        "text": data.get("text"),
        "emotions": [choice for choices in chosen if isinstance(choices, list) for choice in choices],
        "annotator": (who.get("email") or who.get("id")) if isinstance(who, dict) else who,
        "labelled_at": annotation.get("updated_at") or annotation.get("created_at"),
        "transcript_id": data.get("transcript_id"),
    }

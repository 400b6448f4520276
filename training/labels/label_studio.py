"""What Label Studio is given: its labelling configuration and its tasks. `training.label_files` reads the answers.

Sources: https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions, https://labelstud.io/tags/choices.
"""

from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree as ET

from schemas.emotions import EMOTIONS
from training.label_files.label_studio import CONTROL

_IN_RUSSIAN: Final = dict(
    zip(EMOTIONS, ("злость", "отвращение", "страх", "радость", "грусть", "удивление", "нейтрально"), strict=True)
)

_PREDICTOR: Final = "asr-emotions"
"""Whose predictions they are. One name for all models: a project shows those of one name only, and in the course of
time its tasks come from several. The model's own version is among the task's data."""


def configuration() -> str:
    """Return the labelling configuration: the call so far, a text, and the emotions to tick, with the keys 1 to 7."""
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="$about")
    ET.SubElement(view, "Text", name="before", value="$previous_turns")
    ET.SubElement(view, "Text", name="text", value="$text")
    choices = ET.SubElement(view, "Choices", name=CONTROL, toName="text", choice="multiple", required="true")
    for key, (emotion, russian) in enumerate(_IN_RUSSIAN.items(), 1):
        ET.SubElement(choices, "Choice", value=emotion, hint=russian, hotkey=str(key))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def task(data: Mapping[str, Any], emotions: list[str], score: float) -> dict[str, Any]:
    """Return a task with the model's answer for the annotator to correct.

    Args:
        data: to show and to keep; `text` must be among it; `transcript_id` and `source` come back with the answer.
        emotions: the model's.
        score: how sure it is of them, 0 to 1; Label Studio can sort by it.
    """
    choices = {"from_name": CONTROL, "to_name": "text", "type": "choices", "value": {"choices": emotions}}
    # Choices of nothing would be an answer that nobody can see.
    prediction = {"model_version": _PREDICTOR, "score": score, "result": [choices] if emotions else []}
    return {"data": dict(data), "predictions": [prediction]}

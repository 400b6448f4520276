"""Label Studio's side: what it is given, and what its exports hold; those of a real run are in tests/data."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from places import DATA

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.label_files.options import ReadOptions
from training.label_files.reading import Reading, read_labels
from training.labels.label_studio import configuration, task

REAL: Final = DATA / "label-studio"
AWKWARD: Final = 'сказали «ждите», "минут пять";\nа прошло уже два часа 😡'


def read(folder: Path, name: str, content: str, **given: Any) -> Reading:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return read_labels(file, ReadOptions(**given))


def exported(*annotations: dict[str, Any], text: Any = "где мой заказ", number: int = 7) -> dict[str, Any]:
    data = {"text": text, "transcript_id": "call-1-0"}
    return {"id": number, "data": data, "annotations": list(annotations), "predictions": [], "drafts": []}


def annotation(*emotions: str, by: Any = 3, **more: Any) -> dict[str, Any]:
    choices = {"choices": list(emotions)}
    result = {"value": choices, "from_name": "emotions", "to_name": "text", "type": "choices", "origin": "manual"}
    times = {"created_at": "2026-05-04T10:00:00.5Z", "updated_at": "2026-05-04T10:05:00.25Z"}
    return {"id": 11, "completed_by": by, "result": [result], "was_cancelled": False, "lead_time": 4.2, **times, **more}


def test_the_five_exports_of_a_real_run_hold_the_same_labels() -> None:
    readings = {file.name: read_labels(file) for file in REAL.iterdir() if file.suffix != ".md"}
    assert set(readings) == {"export.json", "export-min.json", "export.csv", "export.tsv", "snapshot.json"}
    for reading in readings.values():
        assert {(label.transcript_id, label.annotator, label.emotions) for label in reading.labels} == {
            ("0000", "1", ("neutral",)),
            ("0001", "1", ("anger", "sadness")),
            ("0004", "1", ("anger",)),
            ("0004", "2", ("neutral",)),
            ("0006", "1", ("surprise",)),
            ("0008", "1", ("anger", "disgust")),
        }
        assert {label.origin for label in reading.labels} == {"label-studio"}
        assert AWKWARD in {label.text for label in reading.labels}
        assert [bad.reason for bad in reading.bad] == ["names no emotion; neutral is the name of none"]
    assert (
        len({frozenset((label.text, label.labelled_at) for label in found.labels) for found in readings.values()}) == 1
    )


@pytest.mark.parametrize(
    ("name", "skipped"),
    [("export.json", 2), ("snapshot.json", 4), ("export-min.json", 0), ("export.csv", 0)],
)
def test_what_was_skipped_left_open_or_only_begun_in_a_real_run_is_no_label(name: str, skipped: int) -> None:
    assert read_labels(REAL / name).skipped == skipped


def test_an_answer_that_was_changed_is_of_the_time_of_the_change() -> None:
    [changed] = [
        task for task in json.loads((REAL / "export.json").read_text()) if task["data"]["transcript_id"] == "0006"
    ]
    [annotation] = changed["annotations"]
    [label] = [label for label in read_labels(REAL / "export.json").labels if label.transcript_id == "0006"]
    assert label.labelled_at == datetime.fromisoformat(annotation["updated_at"])
    assert annotation["created_at"] < annotation["updated_at"]


def test_a_task_that_nobody_answered_is_no_bad_row_of_a_flat_export(tmp_path: Path) -> None:
    content = "annotation_id,annotator,emotions,text,updated_at\n,,,да,\n5,1,joy,нет,2026-05-04T10:00:00Z\n"
    reading = read(tmp_path, "a.csv", content)
    assert ([label.text for label in reading.labels], reading.bad, reading.skipped) == (["нет"], [], 1)


@pytest.mark.parametrize("cell", ['"{""choices"":"', '"{""choices"": 5}"', '"{""choices"": [""rage""]}"', "rage"])
def test_a_bad_cell_of_a_flat_export_is_a_bad_row(cell: str, tmp_path: Path) -> None:
    header = "annotation_id,annotator,emotions,text,updated_at"
    reading = read(tmp_path, "a.csv", f"{header}\n4,1,{cell},да,\n5,1,joy,нет,\n")
    assert [label.text for label in reading.labels] == ["нет"]
    assert [bad.where for bad in reading.bad] == ["line 2"]


def test_the_origin_that_is_given_goes_before_label_studios() -> None:
    assert {label.origin for label in read_labels(REAL / "export.csv", ReadOptions(origin="pilot")).labels} == {"pilot"}


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"text": "да"}', "[1]"])
def test_json_that_is_no_list_of_tasks_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(
        UnusableData,
        match=r"is no JSON: .* Give a list of objects|is no list of objects\. Export from your tool as JSON",
    ):
        read(tmp_path, "a.json", content)


def test_each_annotation_of_a_label_studio_task_is_a_label(tmp_path: Path) -> None:
    content = json.dumps([exported(annotation("anger", "sadness"), annotation("neutral", by={"email": "b@x.ru"}))])
    labels = read(tmp_path, "project.json", content).labels
    assert [(label.annotator, label.emotions) for label in labels] == [
        ("3", ("anger", "sadness")),
        ("b@x.ru", ("neutral",)),
    ]
    assert {(label.origin, label.text, label.transcript_id) for label in labels} == {
        ("label-studio", "где мой заказ", "call-1-0")
    }
    assert labels[0].labelled_at == datetime(2026, 5, 4, 10, 5, 0, 250_000, tzinfo=UTC)


def test_what_nobody_answered_in_label_studio_is_no_bad_row(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.json", json.dumps([exported(), exported(annotation("joy", was_cancelled=True))]))
    assert (reading.labels, reading.bad, reading.skipped) == ([], [], 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (exported(annotation("ярость")), "ярость is none of the emotions"),
        (exported(annotation()), "names no emotion"),
        (exported(annotation("joy"), text=None), "has no text"),
        (exported(annotation("joy", result=None)), "has an annotation without result"),
        ({"id": 7, "text": "да", "emotions": "joy"}, "has no data or no annotations"),
    ],
)
def test_a_bad_task_is_reported_by_its_number(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    reading = read(tmp_path, "a.json", json.dumps([row, exported(annotation("joy"), number=8)]))
    assert len(reading.labels) == 1
    assert str(reading.bad[0]).startswith(f"task 7: {reason}")


def result(name: str = "emotions", to: str = "text", kind: str = "choices", **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": to, "type": kind, "value": value}


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([result(choices=["joy"], start=0, end=3)], "has emotions of a part of the text"),
        ([result(choices=["joy"]), result(to="before", choices=["anger"])], "has emotions of several things"),
        ([result("topic", choices=["delivery"])], "has no answer by the control emotions"),
        ([result(kind="taxonomy", taxonomy=[["joy"]])], "has no answer by the control emotions"),
    ],
)
def test_an_answer_that_is_not_of_the_whole_text_by_the_control_is_a_bad_task(
    results: list[dict[str, Any]], reason: str, tmp_path: Path
) -> None:
    tasks = [exported(annotation(result=results)), exported(annotation("joy"), number=8)]
    reading = read(tmp_path, "a.json", json.dumps(tasks))
    assert len(reading.labels) == 1
    assert str(reading.bad[0]).startswith(f"task 7: {reason}")


def test_the_configuration_offers_each_emotion_by_the_name_that_the_import_knows() -> None:
    [choices] = ET.fromstring(configuration()).iter("Choices")  # noqa: S314 - our own text.
    assert choices.attrib["choice"] == "multiple"
    assert [choice.attrib["value"] for choice in choices] == list(EMOTIONS)


def test_an_answer_of_the_model_names_tags_of_the_configuration() -> None:
    names = {element.get("name") for element in ET.fromstring(configuration())}  # noqa: S314 - our own text.
    [answer] = task({"text": "да", "model_version": "m-1"}, ["joy"], 0.75)["predictions"]
    assert {answer["result"][0]["from_name"], answer["result"][0]["to_name"]} <= names
    assert answer["score"] == 0.75


def test_a_project_shows_the_answers_of_all_models() -> None:
    """It shows the predictions of one model_version, that of the first import."""
    tasks = [task({"text": "да", "model_version": version}, ["joy"], 0.75) for version in ("m-1", "m-2")]
    assert [task["data"]["model_version"] for task in tasks] == ["m-1", "m-2"]
    assert len({task["predictions"][0]["model_version"] for task in tasks}) == 1


def test_a_task_keeps_the_call_and_the_draw_for_its_label(tmp_path: Path) -> None:
    made = task({"text": "да", "session_id": "call-7", "drawn_by": "rare", "relative_chance": 0.3}, ["joy"], 0.9)
    content = json.dumps([made | {"id": 1, "annotations": [annotation("joy")]}])
    [label] = read(tmp_path, "a.json", content).labels
    assert (label.session_id, label.drawn_by, label.relative_chance) == ("call-7", "rare", 0.3)

"""The round trip through a spreadsheet, and what annotators see of a call."""

import csv
import json
from pathlib import Path
from typing import Any, Final

import pytest
from labelling import NOON
from sqlalchemy import Engine, case, insert, update

from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results
from training.commands.groups import labels as labels_app
from training.data.splits import split_of
from training.label_files.reading import read_labels
from training.labels.table import list_labels

CALL: Final = [
    ("agent", "Добрый день, слушаю"),
    ("customer", '=где "мой"; заказ'),
    ("agent", "0006"),
    ("customer", "истина"),
    ("customer", "+7 лет жду,\nи что"),
    ("customer", "'ну' спасибо"),
]


def run(*arguments: str) -> None:
    labels_app(list(arguments), result_action="return_value")


@pytest.fixture
def call(engine: Engine) -> Engine:
    """A call in the results; its ids would be numbers and dates to a spreadsheet program."""
    with engine.begin() as connection:
        for at, (speaker, text) in enumerate(CALL):
            row = {
                "transcript_id": f"000{at}",
                "source": "hotline",
                "session_id": "05-12",
                "speaker": speaker,
                "segment": at,
                "text": text,
                "spoken_at": NOON,
                "emotions": ["joy"],
                "model_version": "m-1",
                "normalizer": "n-1",
                "kafka_topic": "transcripts",
                "kafka_partition": 0,
                "kafka_offset": at,
            }
            connection.execute(insert(emotion_results), row | dict.fromkeys(EMOTIONS, 0.1))
    return engine


def fill_csv(file: Path) -> None:
    """Fill in a sheet as a spreadsheet program does that keeps cells as they look."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    for at, row in enumerate(rows[:-1]):
        row |= {"emotions": ["Гнев, печаль", "joy"][at % 2], "annotator": "анна"}
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def fill_workbook(file: Path) -> None:
    import python_calamine  # noqa: PLC0415 - an extra.
    import xlsxwriter  # noqa: PLC0415 - an extra.

    header, *rows = python_calamine.CalamineWorkbook.from_path(str(file)).get_sheet_by_index(0).to_python()
    for at, row in enumerate(rows[:-1]):
        row[header.index("emotions")], row[header.index("annotator")] = ["Гнев, печаль", "joy"][at % 2], "анна"
    with xlsxwriter.Workbook(file, {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate([header, *rows]):
            sheet.write_row(at, 0, row)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_round_trip_through_a_spreadsheet(
    kind: str, call: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xlsxwriter")
    folder = tmp_path / "to-label"
    run("export", "--for", kind, "--strategy", "random", "--output", str(folder))
    [file] = folder.iterdir()
    assert file.name == f"to-label.{kind}"
    assert read_labels(file).skipped == len(CALL), "nobody has answered yet, and no row is a bad one"
    (fill_csv if kind == "csv" else fill_workbook)(file)
    run("import", str(file), "--strict", "--origin", "sheet")
    assert "5 labels new, 0 changed, 0 as before, 0 rows bad, 1 without an answer" in capsys.readouterr().out
    labels = list_labels(call, limit=10)
    words = {f"000{at}": text for at, (_, text) in enumerate(CALL)}
    assert {label.transcript_id: label.text for label in labels}.items() < words.items()
    assert len(labels) == len(CALL) - 1
    assert {label.source for label in labels} == {"hotline"}
    assert {(label.emotions, label.annotator) for label in labels} == {
        (("anger", "sadness"), "анна"),
        (("joy",), "анна"),
    }


def exported(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    run("export", "--output", str(folder), *arguments)
    tasks: list[dict[str, Any]] = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    return sorted(tasks, key=lambda task: str(task["data"]["transcript_id"]))


@pytest.mark.usefixtures("call")
def test_annotators_see_the_turns_before_the_speaker_and_the_source(tmp_path: Path) -> None:
    data = [task["data"] for task in exported(tmp_path / "tasks")]
    assert [each["about"] for each in data[:2]] == ["hotline, agent", "hotline, customer"]
    assert [each["previous_turns"] for each in data[:2]] == ["", "agent: Добрый день, слушаю"]
    assert data[4]["previous_turns"] == 'customer: =где "мой"; заказ\nagent: 0006\ncustomer: истина'
    view = (tmp_path / "tasks" / "config.xml").read_text(encoding="utf-8")
    assert 'value="$previous_turns"' in view


def test_what_judges_comes_without_the_models_answer(call: Engine, tmp_path: Path) -> None:
    judge, teach = (next(str(at) for at in range(99) if split_of("", str(at)) == name) for name in ("holdout", "train"))
    of_call = case((emotion_results.c.segment < 2, judge), else_=teach)
    with call.begin() as connection:
        connection.execute(update(emotion_results).values(session_id=of_call))
    judging = {text for _, text in CALL[:2]}
    for blind, expected in (("judging", judging), ("all", {text for _, text in CALL}), ("none", set())):
        tasks = exported(tmp_path / blind, "--blind", blind)
        assert {task["data"]["text"] for task in tasks if not task["predictions"]} == expected


def test_a_dry_run_shows_five_labels_and_writes_nothing(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.csv"
    rows = "\n".join(f"фраза {at};гнев" for at in range(7))
    file.write_text(f"Реплика;Метка\n{rows}\nнет;ярость\n", encoding="utf-8")
    run("import", str(file), "--dry-run")
    printed = capsys.readouterr()
    assert "text from `Реплика`, emotions from `Метка`" in printed.out
    assert [f"фраза {at}" in printed.out for at in range(7)] == [True] * 5 + [False] * 2
    assert "7 labels, 1 rows bad. Nothing was written" in printed.out
    assert "line 9: ярость is none of the emotions" in printed.err
    assert list_labels(engine, limit=1) == []


def test_rows_that_contradict_each_other_are_counted_and_shown(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,emotions\nда,joy\nда,anger\n", encoding="utf-8")
    run("import", str(file))
    printed = capsys.readouterr()
    assert "1 labels new, 0 changed, 1 as before, 0 rows bad, 1 rows contradict another" in printed.out
    assert f"{file}, line 3: says anger where line 2 says joy of one text" in printed.err
    assert [label.emotions for label in list_labels(engine, limit=9)] == [("anger",)]

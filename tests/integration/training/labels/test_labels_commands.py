"""The commands that bring labels in and texts out, on a real Postgres and with the exports of a real Label Studio."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from labelling import add_results, emotions_in
from places import DATA
from services import Postgres
from sqlalchemy import Engine, Text, cast, func, update

from schemas.errors import UserError
from schemas.tables import emotion_results
from training.commands.groups import datasets as datasets_app
from training.commands.groups import labels as labels_app
from training.database import connect
from training.errors import UnusableData, UnusableOutput
from training.label_files.reading import read_labels
from training.labels.table import Stored, list_labels, store

REAL: Final = DATA / "label-studio"


def run(*arguments: str) -> None:
    labels_app(list(arguments), result_action="return_value")


def export(folder: Path) -> list[dict[str, Any]]:
    """Return the data of the tasks that the command exports."""
    run("export", "--for", "label-studio", "--output", str(folder))
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    return [task["data"] for task in tasks]


def test_the_round_trip_through_label_studio(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = json.loads((REAL / "snapshot.json").read_text(encoding="utf-8"))
    transcripts = {task["data"]["transcript_id"]: task["data"]["text"] for task in labelled}
    add_results(engine, *((words, {"anger": 0.6}) for _, words in sorted(transcripts.items())))
    with engine.begin() as connection:
        number = emotion_results.c.kafka_offset
        connection.execute(update(emotion_results).values(transcript_id=func.lpad(cast(number, Text), 4, "0")))
    assert {data["transcript_id"]: data["text"] for data in export(tmp_path / "to-label")} == transcripts
    assert "<Choices" in (tmp_path / "to-label" / "config.xml").read_text(encoding="utf-8")

    run("import", str(REAL / "export.json"))
    printed = capsys.readouterr()
    assert "6 labels new, 0 changed, 0 as before, 1 rows bad, 2 without an answer" in printed.out
    assert "task 1: names no emotion; neutral is the name of none" in printed.err
    assert {(row.transcript_id, row.annotator) for row in list_labels(engine, origin="label-studio", limit=9)} == {
        ("0000", "1"),
        ("0001", "1"),
        ("0004", "1"),
        ("0004", "2"),
        ("0006", "1"),
        ("0008", "1"),
    }
    assert {data["transcript_id"] for data in export(tmp_path / "again")} == {"0002", "0003", "0005", "0007"}


def test_each_form_of_an_export_brings_the_same_labels(engine: Engine) -> None:
    counts = []
    for file in sorted(file for file in REAL.iterdir() if file.suffix != ".md"):
        before = list_labels(engine, limit=10)
        counts.append(store(engine, read_labels(file).labels))
        assert not before or list_labels(engine, limit=10) == before
    assert counts == [Stored(6, 0, 0), *[Stored(0, 0, 6)] * 4]


def test_an_export_overwrites_nothing(engine: Engine, tmp_path: Path) -> None:
    add_results(engine, ("да", {"joy": 0.5}))
    with pytest.raises(UnusableOutput, match="exists"):
        run("export", "--output", str(tmp_path))


def test_bad_rows_are_reported_and_strict_refuses_the_file(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("text,emotions\nда,joy\nнет,rage\n", encoding="utf-8")
    with pytest.raises(UnusableData, match="nothing was imported, 1 rows are bad"):
        run("import", str(file), "--strict")
    assert emotions_in(engine) == []
    capsys.readouterr()
    run("import", str(file), "--annotator", "anna", "--origin", "pilot")
    printed = capsys.readouterr()
    assert f"{file}, line 3: rage is none of the emotions" in printed.err
    assert "1 labels new, 0 changed, 0 as before, 1 rows bad" in printed.out
    run("list", "-n", "5")
    run("stats")
    printed = capsys.readouterr()
    assert "anna" in printed.out
    assert "1 labels of 1 texts" in printed.out


def test_public_sets_go_into_the_same_table_with_their_origin(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cedr = tmp_path / "cedr"
    cedr.mkdir()
    rows = [f"текст номер {at},[0]" for at in range(40)]
    (cedr / "cedr-main-train.csv").write_text("\n".join(["text,labels", *rows]) + "\n", encoding="utf-8")
    for _ in range(2):
        datasets_app(["import", str(tmp_path)], result_action="return_value")
    assert "cedr: 0 labels new, 0 changed, " in capsys.readouterr().out
    found = list_labels(engine, limit=100)
    assert 20 < len(found) < 40, "a tenth validates and stays outside"
    assert {(row.origin, row.emotions, "disgust" in row.annotated) for row in found} == {("cedr", ("joy",), False)}


def test_two_servers_of_label_studio_number_different_people(engine: Engine) -> None:
    run("import", str(REAL / "export.json"))
    run("import", str(REAL / "export.json"), "--annotator-prefix", "north-")
    assert {row.annotator for row in list_labels(engine, limit=20)} == {"1", "2", "north-1", "north-2"}


def test_a_set_without_rows_is_said_to_be_empty(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text("text,emotions\n", encoding="utf-8")
    with pytest.raises(UnusableData, match=r"calls\.csv: there are no training rows"):
        datasets_app(["import", str(file)], result_action="return_value")
    assert emotions_in(engine) == []


def test_a_database_without_the_tables_is_said_to_be_one(session_postgres: Postgres, tmp_path: Path) -> None:
    name = session_postgres.create_database()
    file = tmp_path / "a.csv"
    file.write_text("text,emotions\nда,joy\n", encoding="utf-8")
    engine = connect(session_postgres.url(name))
    with pytest.raises(UserError, match="emotion-worker migrate"):
        store(engine, read_labels(file).labels)
    engine.dispose()
    session_postgres.drop_database(name)

"""What `labels import` refuses, `fit`, `evaluate`, `tune` and `datasets import` refuse in the same words."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from structlog.testing import capture_logs

from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.errors import UnusableData
from training.label_files.options import ReadOptions
from training.label_files.reading import read_labels

GOOD: Final = "ну что ж,joy\n"


def file_of(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def loaded(file: Path) -> list[set[str]]:
    """Return the emotions of the rows that a fit takes to learn from."""
    [examples] = load([str(file)], "train")
    return [{EMOTIONS[at] for at in np.flatnonzero(row)} for row in examples.targets]


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("a.jsonl", {"text": "да", "emotions": {"joy": 0.9, "anger": 0.2}}, "joy has the score 0.9"),
        ("a.jsonl", {"text": "да", "emotions": 3}, "3 is none of the emotions"),
        ("a.jsonl", {"text": "да", "emotions": [{"label": "joy"}]}, "is none of the emotions"),
        ("a.jsonl", {"text": "да", "emotions": ["joy", None]}, "None is none of the emotions"),
        ("a.jsonl", {"text": "да"}, "has no emotions"),
        ("a.jsonl", {"text": " ", "emotions": "joy"}, "the text is empty"),
        ("a.jsonl", {"text": "да", "emotions": []}, "names no emotion"),
        ("a.jsonl", {"text": 7, "emotions": "joy"}, "the text is no string"),
        ("a.csv", "да,joy,anger", "has more cells than there are columns"),
        ("a.csv", '"да,joy', "unexpected end of data"),
        ("a.csv", '"да,joy\nну,fear\nвот",joy', "holds whole rows in one cell"),
        ("a.csv", '"да,anger/sadness\nну,joy|surprise\nвот",joy', "holds whole rows in one cell"),
        ("a.csv", "да,joy,", "has more cells than there are columns"),
        ("a.csv", 'да,"joy, neutral"', "gives neutral with joy; neutral is the name of none"),
        ("a.jsonl", {"text": "да", "emotions": {"joy": 1, "neutral": 1}}, "gives neutral with joy"),
        ("a.csv", ",joy", "the text is empty"),
        ("a.csv", "да,не радость", "не is none of the emotions"),
        ("a.csv", 'да,"{""joy"": 0.9, ""anger"": 0.0}"', "joy has the score 0.9"),
    ],
)
def test_a_row_that_holds_no_label_is_refused_by_every_command_with_its_line(
    name: str, row: dict[str, object] | str, reason: str, tmp_path: Path
) -> None:
    if isinstance(row, str):
        file = file_of(tmp_path, name, f"text,emotions\n{GOOD}{row}\n")
    else:
        good = {"text": "ну что ж", "emotions": ["joy"]}
        file = file_of(tmp_path, name, f"{json.dumps(good)}\n{json.dumps(row)}\n")
    reading = read_labels(file)
    assert [label.emotions for label in reading.labels] == [("joy",)]
    assert reason in str(reading.bad[0])
    with pytest.raises(UnusableData) as error:
        load([str(file)], "train")
    assert str(file) in str(error.value)
    assert str(reading.bad[0]) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text,emotions\nда,joy\n".encode("cp1251"), "line 2: is not in UTF-8 .* may be cp1251, .* iconv -f cp1251"),
        ("text,emotions\nда,joy\n".encode("utf-16"), "line 1: is not in UTF-8 .* iconv -f utf-16"),
        (b"text,text,emotions\na,b,joy\n", "names the column text twice"),
        ("text,label,метка\nда,joy,joy\n".encode(), "the columns label, метка may both be the emotions"),
        (b"text,emotions,anger,joy\nda,joy,0,1\n", "may all give the emotions"),
        ("text,anger,злость,joy\nда,1,0,0\n".encode(), "the columns anger, злость both mark anger"),
    ],
)
def test_a_file_that_leaves_a_doubt_is_refused_by_every_command(content: bytes, complaint: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", content)
    for read in (lambda: read_labels(file), lambda: load([str(file)], "train")):
        with pytest.raises(UnusableData, match=complaint) as error:
            read()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "split"), [("dev", "validation"), ("Train", "train"), ("VAL", "validation"), ("", "train")]
)
def test_a_split_is_known_by_each_usual_name(name: str, split: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", f"text,emotions,split\nда,joy,{name}\n")
    assert {each: len(load([str(file)], each)) for each in ("train", "validation", "test")} == {
        "train": 0,
        "validation": 0,
        "test": 0,
    } | {split: 1}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ('text;anger;joy\n"foo;да;нет\nbar;нет;да\nbaz";нет;да\n', {}),
        ('text;anger;joy\n"foo;x;\nbar;;x\nbaz";;x\n', {}),
        ('text;anger;joy\n"foo;x;\nbaz";;x\n', {}),
        ('id;text;anger;joy\n1;"foo;1;0\n2;baz";0;1\n', {}),
        ('text;anger;joy\n"foo;0.9;0.1\nbar;0.2;0.8\nbaz";0.1;0.7\n', {"threshold": 0.5}),
        ('text,emotions\n"foo,доволен\nbar,зол\nbaz",доволен\n', {"wanted": {"joy": ["доволен"], "anger": ["зол"]}}),
    ],
)
def test_rows_behind_a_stray_quotation_mark_are_not_lost_in_silence(
    content: str, options: dict[str, Any], tmp_path: Path
) -> None:
    reading = read_labels(file_of(tmp_path, "a.csv", content), ReadOptions(**options))
    assert reading.labels == []
    assert [bad.reason.split(";")[0] for bad in reading.bad] == ["holds whole rows in one cell"]


@pytest.mark.parametrize(
    "content",
    [
        'text,emotions\n"да, слушаю\nнет, спасибо",joy\n',
        'text,joy,anger\n"да, слушаю, вот, нет\nи всё",1,0\n',
        'id,text,emotions\n1,да,"joy,\nsurprise"\n',
    ],
)
def test_a_cell_may_have_several_lines(content: str, tmp_path: Path) -> None:
    reading = read_labels(file_of(tmp_path, "a.csv", content))
    assert ([label.emotions[0] for label in reading.labels], reading.bad) == (["joy"], [])


def test_a_label_in_a_column_without_a_name_is_not_lost_in_silence(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", "text,emotions,\nпока,joy,anger\nда,fear,\n")
    reading = read_labels(file)
    assert [label.text for label in reading.labels] == ["да"]
    complaint = "line 2: has a cell in a column without a name; put several labels in quotation marks"
    assert [str(bad) for bad in reading.bad] == [complaint]
    with pytest.raises(UnusableData, match=complaint):
        load([str(file)], "train")


def test_a_label_in_a_column_of_a_sheet_without_a_name_is_not_lost_in_silence(tmp_path: Path) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet()
        for at, row in enumerate([["text", "emotions"], ["пока", "joy", "anger"]]):
            sheet.write_row(at, 0, row)
    assert "row 2: has a cell in a column without a name" in str(read_labels(tmp_path / "a.xlsx").bad[0])


def test_the_numbers_of_rows_that_pandas_writes_are_passed_over(tmp_path: Path) -> None:
    assert loaded(file_of(tmp_path, "a.csv", ",text,emotions\n0,да,joy\n1,нет,fear\n")) == [{"joy"}, {"fear"}]


@pytest.mark.parametrize("field", ["annotator", "transcript_id", "session_id"])
def test_a_second_label_in_the_column_of_another_field_is_a_bad_row(field: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", f"text,emotions,{field}\nда,anger,joy\nнет,гнев, Печаль\nа,joy,anna\n")
    reading = read_labels(file)
    assert [label.text for label in reading.labels] == ["а"]
    assert [str(bad) for bad in reading.bad] == [
        f"line 2: the {field} is named joy; put several labels in quotation marks",
        f"line 3: the {field} is named Печаль; put several labels in quotation marks",
    ]


def test_neutral_may_stand_with_others_where_a_public_set_or_annotators_say_so(tmp_path: Path) -> None:
    row = {"text": "да", "emotions": ["joy", "neutral"]}
    assert loaded(file_of(tmp_path, "goemotions.jsonl", json.dumps(row))) == [{"joy", "neutral"}]
    assert loaded(file_of(tmp_path, "a.jsonl", json.dumps(row | {"undecided": True}))) == [{"joy", "neutral"}]


@pytest.mark.parametrize("header", ["text,label,label2", "text,emotion,emotion2", "text,emotions,мнение"])
def test_a_second_column_of_emotions_is_not_lost_in_silence(header: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", f"{header}\nда,joy,anger\nнет,joy,не знаю\n")
    reading = read_labels(file)
    assert [label.text for label in reading.labels] == ["нет"]
    assert str(reading.bad[0]).startswith(f"line 2: names emotions in the column {header.split(',')[2]} too")
    meant = ReadOptions(columns={"emotions": header.split(",")[1]})
    assert [label.emotions for label in read_labels(file, meant).labels] == [("joy",), ("joy",)]


def test_a_fit_says_that_rows_of_a_table_contradict_each_other(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", "text,emotions\nда,joy\nда,anger\nнет,fear\n")
    with capture_logs() as logs:
        loaded(file)
    assert [(each["rows"], each["first"][:20]) for each in logs] == [(1, "line 3: says anger w")]


def test_rows_of_an_unknown_split_are_not_lost_in_silence(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", "text,emotions,split\nда,joy,train\nнет,anger,held-out\n")
    with pytest.raises(UnusableData, match="line 3: the split held-out is none of train, validation"):
        load([str(file)], "train")


def test_marks_may_be_whole_numbers_with_a_point_or_crosses(tmp_path: Path) -> None:
    numbers = file_of(tmp_path, "a.csv", "text,anger,joy,neutral\nда,0.0,1.0,0.0\nнет,1.0,1.0,0.0\n")
    crosses = file_of(tmp_path, "b.csv", "text;злость;радость;нейтрально\nда;;x;\nнет;х;+;\n")
    assert loaded(numbers) == loaded(crosses) == [{"joy"}, {"anger", "joy"}]
    [label, _] = read_labels(numbers).labels
    assert label.annotated == ("anger", "joy", "neutral"), "the others were not asked for"


def test_marks_with_a_gap_are_refused(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.csv", "text,anger,joy,fear\nда,0,1\nнет,0,,1\nну,,,\nвот,2,0,0\n")
    assert [str(bad) for bad in read_labels(file).bad] == [
        "line 2: has no fear",
        "line 3: joy is empty, while others say no. Write 1 or 0 for each",
        "line 4: marks no emotion",
        "line 5: anger is 2. Write 1 or 0, or a score from 0 to 1",
    ]


def test_a_line_of_json_that_names_a_field_twice_is_refused(tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        "a.jsonl",
        '{"text": "да", "emotions": "joy", "emotions": "anger"}\n{"text": "а", "emotions": "joy"}\n',
    )
    assert str(read_labels(file).bad[0]) == "line 1: is no JSON (names a field twice)"


ANSWER: Final = {
    "id": "1",
    "text": "где мой заказ",
    "emotions": ["anger"],
    "scores": dict.fromkeys(EMOTIONS, 0.5),
    "model_version": "ru-emotions-small-1",
    "convention": "calls",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_what_a_model_says_is_no_label_of_people(name: str, tmp_path: Path) -> None:
    rows = {
        "a.jsonl": json.dumps(ANSWER),
        "a.json": json.dumps([ANSWER]),
        "a.csv": "text,emotions,model_version,kafka_offset\nда,joy,m-1,7\n",
    }
    file = file_of(tmp_path, name, rows[name])
    for read in (lambda: read_labels(file), lambda: load([str(file)], "train")):
        with pytest.raises(UnusableData, match=r"says what a model found .* a model must not learn from itself"):
            read()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "transcript_id,source,text,emotions,model_version\n1,s,да,{joy},m-1\n"),
        ("a.csv", "text,anger,joy,model_version\nда,0,1,m-1\n"),
        ("a.csv", "text,emotions,scores,convention\nда,{joy},x,calls\n"),
        ("a.csv", "Text;Emotions;Scores;Model_Version\nда;joy;x;m-1\n"),
        ("a.jsonl", '{"id": "1", "text": "да", "emotions": ["joy"], "scores": {"joy": 0.9}, "windows": 1}'),
        ("a.jsonl", '{"text": "да", "label": ["joy"], "Comments": [], "model_version": "m-1", "scores": {"joy": 1}}'),
    ],
)
def test_columns_of_results_show_that_a_model_wrote_them(name: str, content: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, name, content)
    for mapped in ({}, {"emotions": "emotions"} if name == "a.csv" else {}):
        with pytest.raises(UnusableData, match="says what a model found"):
            read_labels(file, ReadOptions(columns=mapped))


def test_people_may_label_what_a_model_saw(tmp_path: Path) -> None:
    table = file_of(tmp_path, "a.csv", "text,emotions,annotator,model_version\nда,joy,anna,m-1\n")
    task = {"id": 1, "text": "да", "emotions": "joy", "annotator": 1, "annotation_id": 3}
    studio = file_of(tmp_path, "a.json", json.dumps([task | {"model_version": "m-1", "scores": "x"}]))
    assert [read_labels(file).labels[0].emotions for file in (table, studio)] == [("joy",), ("joy",)]


def test_a_row_that_is_annotated_for_nothing_is_for_teachers_and_no_label(tmp_path: Path) -> None:
    file = file_of(tmp_path, "a.jsonl", '{"text": "да", "emotions": [], "annotated": "none"}\n')
    assert loaded(file) == [set()]
    assert str(read_labels(file).bad[0]) == "line 1: is annotated for nothing, so it holds no label"


def test_rows_of_one_text_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    rows = ["да,joy,anna,a", "да,anger,boris,a", "да,joy,anna,a", "да,anger,anna,a", "нет,fear,anna,a"]
    rows += ['"«Да, конечно!»",anger,anna,a', "да конечно,joy,anna,b"]
    file = file_of(tmp_path, "a.csv", "text,emotions,annotator,origin\n" + "\n".join(rows) + "\n")
    reading = read_labels(file)
    assert [str(each) for each in reading.contradictions] == [
        "line 5: says anger where line 2 says joy of one text; one of them counts",
        "line 8: says joy where line 7 says anger of one text; one of them counts",
    ]

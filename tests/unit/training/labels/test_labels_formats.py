"""Labels in files: what is taken, and what is said of the rest."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.label_files.label import Label
from training.label_files.options import ReadOptions
from training.label_files.reading import Reading, read_labels


def read(folder: Path, name: str, content: str, **given: Any) -> Reading:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return read_labels(file, ReadOptions(**given))


def test_a_table_may_say_all_there_is_to_say(tmp_path: Path) -> None:
    content = (
        "text,emotions,annotated,origin,annotator,labelled_at,transcript_id\n"
        '"да, хорошо","surprise, joy",joy surprise anger,survey,anna,2026-01-31T12:00:00+03:00,call-1\n'
    )
    assert read(tmp_path, "a.csv", content).labels == [
        Label(
            text="да, хорошо",
            emotions=("joy", "surprise"),
            annotated=("anger", "joy", "surprise"),
            origin="survey",
            annotator="anna",
            labelled_at=datetime(2026, 1, 31, 9, tzinfo=UTC),
            transcript_id="call-1",
        )
    ]


def test_what_a_row_does_not_say_is_as_given(tmp_path: Path) -> None:
    content = '{"text": "да", "emotions": ["joy"]}\n\n{"text": "нет", "emotions": "anger", "annotator": "boris"}\n'
    labels = read(tmp_path, "a.jsonl", content, origin="pilot", annotator="anna").labels
    assert [(label.origin, label.annotator, label.labelled_at) for label in labels] == [
        ("pilot", "anna", None),
        ("pilot", "boris", None),
    ]
    assert {label.annotated for label in labels} == {EMOTIONS}


def test_a_row_whose_origin_would_be_empty_is_a_bad_one(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", "text,emotions,origin\nда,joy,survey\nнет,joy,\n", origin=" ")
    assert [label.origin for label in reading.labels] == ["survey"]
    assert [str(bad) for bad in reading.bad] == ["line 3: has no origin; name one in the row or with --origin"]


@pytest.mark.parametrize(
    "content", ["\ufefftext;emotions\nда, да;joy,anger\n", "text;emotions\r\nда, да;joy,anger\r\n"]
)
def test_a_spreadsheet_of_a_russian_locale_is_read(content: str, tmp_path: Path) -> None:
    [label] = read(tmp_path, "a.csv", content).labels
    assert (label.text, label.emotions) == ("да, да", ("anger", "joy"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("нет,rage", "rage is none of the emotions. Take anger, disgust"),
        (f"нет,{'z' * 100}", f"{'z' * 40} is none of the emotions"),
        (f"{'да ' * 7_000},joy", "the text is longer than 20000 characters; is it one text?"),
        ("  ,joy", "the text is empty"),
        ("нет,", "names no emotion; neutral is the name of none"),
        ("нет", "has no emotions"),
        ("нет,joy,anger,,x", "has more cells than there are columns"),
        ("нет,joy,anger", "joy is given and is not among the annotated"),
        ("нет,joy,,yesterday", "yesterday is no time"),
        (f"нет,joy,,{'слово ' * 50}", "the labelled_at is longer than 250 characters"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_while_the_others_go_in(row: str, reason: str, tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", f"text,emotions,annotated,labelled_at\nда,joy,,\n{row}\nну,fear,,\n")
    assert [label.text for label in reading.labels] == ["да", "ну"]
    [bad] = reading.bad
    assert str(bad).startswith(f"line 3: {reason}")


def test_ten_megabytes_in_one_cell_are_one_bad_row(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", f"text,emotions\n{'да ' * 3_500_000},joy\nну,fear\n")
    assert [label.text for label in reading.labels] == ["ну"]
    assert [str(bad) for bad in reading.bad] == ["line 2: the text is longer than 20000 characters; is it one text?"]


def test_capitals_in_the_header_and_in_names_do_not_matter(tmp_path: Path) -> None:
    [label] = read(tmp_path, "a.CSV", "Text, Emotions\nда,Joy Anger\n").labels
    assert (label.text, label.emotions) == ("да", ("anger", "joy"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"emotions": ["joy"]}', "has no text"),
        ('{"text": 5, "emotions": ["joy"]}', "the text is no string"),
        ('{"text": "а", "emotions": 5}', "5 is none of the emotions"),
        ('{"text": "\\ud83d", "emotions": ["joy"]}', "the text holds half a surrogate pair"),
        ('{"text": "а", "emotions": ["joy"], "labelled_at": "0001-01-01T00:00:00+09:00"}', "0001-01-01"),
    ],
)
def test_a_bad_line_of_json_is_reported_too(row: str, reason: str, tmp_path: Path) -> None:
    reading = read(tmp_path, "a.jsonl", f'{row}\n{{"text": "да", "emotions": ["joy"]}}\n')
    assert len(reading.labels) == 1
    assert str(reading.bad[0]).startswith(f"line 1: {reason}")


def test_after_a_quotation_without_end_the_rest_is_not_taken_for_a_text(tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", 'text,emotions\nда,joy\n"нет,anger\nну,fear\n')
    assert [label.text for label in reading.labels] == ["да"]
    assert "the rest of the file is not read" in reading.bad[0].reason


def test_nothing_in_the_negative_needs_neutral_to_be_asked_for(tmp_path: Path) -> None:
    [label] = read(tmp_path, "a.jsonl", '{"text": "да", "emotions": [], "annotated": ["anger"]}').labels
    assert (label.emotions, label.annotated) == ((), ("anger",))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "words,feeling\nда,joy\n", "has no column text and no column emotions .found: words, feeling."),
        ("a.csv", "", "found: nothing"),
        ("a.csv", '"text,emotions\nда,joy\n', "line 1: .* Name the columns in the first line"),
        ("a.txt", "", "labels come as"),
        ("a.json", "{", "is no JSON"),
        ("a.json", '{"text": "да"}', "is no list of objects"),
    ],
)
def test_a_file_of_another_form_is_refused(name: str, content: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=complaint):
        read(tmp_path, name, content)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"a.csv cannot be read: No such file"):
        read_labels(tmp_path / "a.csv")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,emotions\nда,joy\n".encode("cp1251"))
    with pytest.raises(UnusableData, match=r"is not in UTF-8 .* Save it in UTF-8"):
        read_labels(tmp_path / "a.csv")


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip),
    emotions=st.just({"neutral"})
    | st.sets(st.sampled_from([each for each in EMOTIONS if each != "neutral"]), min_size=1),
)
def test_any_text_comes_back_as_it_was(text: str, emotions: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    row = json.dumps({"text": text, "emotions": sorted(emotions)}, ensure_ascii=False)
    [label] = read(tmp_path_factory.getbasetemp(), "any.jsonl", row + "\n").labels
    assert label.text == text
    assert set(label.emotions) == emotions


def test_a_row_may_say_which_call_it_is_of_and_how_it_was_drawn(tmp_path: Path) -> None:
    content = "text,emotions,session_id,drawn_by,relative_chance\nда,joy,call-7,uncertain,2.5\nнет,anger,,random,\n"
    drawn = [(each.session_id, each.drawn_by, each.relative_chance) for each in read(tmp_path, "a.csv", content).labels]
    assert drawn == [("call-7", "uncertain", 2.5), (None, "random", 1.0)]
    plain = read(tmp_path, "b.csv", "text,emotions\nда,joy\n", drawn_by="random").labels
    assert [(each.drawn_by, each.relative_chance) for each in plain] == [("random", 1.0)]


@pytest.mark.parametrize("chance", ["often", "0", "-1", "nan", "inf"])
def test_a_chance_that_is_none_is_a_bad_row(chance: str, tmp_path: Path) -> None:
    reading = read(tmp_path, "a.csv", f"text,emotions,relative_chance\nда,joy,{chance}\n")
    assert [str(bad) for bad in reading.bad] == [
        f"line 2: {chance} is no relative_chance; it is above 0, and 1 in a random draw"
    ]

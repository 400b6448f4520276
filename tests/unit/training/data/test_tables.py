"""Labelled texts of a user's own."""

from pathlib import Path

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.data.datasets import held_out, load
from training.data.examples import CALLS, PUBLIC
from training.data.tables import read_parallel, read_table
from training.errors import UnusableData


def table(folder: Path, name: str, *lines: str) -> str:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_a_table_names_texts_and_emotions(tmp_path: Path) -> None:
    [examples] = load(
        [table(tmp_path, "calls.csv", "text,emotions", 'да,"joy, surprise"', "нет,anger", "так,neutral")], "train"
    )
    assert examples.source == "calls"
    assert [{EMOTIONS[at] for at in np.flatnonzero(row)} for row in examples.targets] == [
        {"joy", "surprise"}, {"anger"}, {"neutral"},
    ]  # fmt: skip
    assert examples.annotated.all()


def test_json_lines_may_say_more(tmp_path: Path) -> None:
    file = table(
        tmp_path, "calls.jsonl",
        '{"id": "a", "text": "да", "emotions": ["joy"], "annotated": ["joy", "anger"], "original": "yes"}',
        '{"id": "b", "text": "нет", "emotions": ["neutral"], "original": "no", "split": "validation"}',
    )  # fmt: skip
    [train], [validation] = load([file], "train"), load([file], "validation")
    assert (train.ids, train.english) == (["calls/a"], ["yes"])
    assert {EMOTIONS[at] for at in np.flatnonzero(train.annotated[0])} == {"joy", "anger"}
    assert validation.ids == ["calls/b"]


@pytest.mark.parametrize(
    ("cell", "annotated"),
    [('"none"', 0), ("[]", 0), ('"joy, fear"', 2), ('["anger"]', 1)],
)
def test_a_row_may_be_annotated_for_nothing(cell: str, annotated: int, tmp_path: Path) -> None:
    line = f'{{"text": "да", "emotions": [], "annotated": {cell}}}'
    [examples] = load([table(tmp_path, "mine.jsonl", line)], "train")
    assert examples.annotated.sum() == annotated


@pytest.mark.parametrize("cell", ["", " ", "all"])
def test_a_row_that_does_not_say_what_was_annotated_answers_for_all_seven(cell: str, tmp_path: Path) -> None:
    [examples] = load([table(tmp_path, "mine.csv", "text,emotions,annotated", f"да,joy,{cell}")], "train")
    assert examples.annotated.all()


@pytest.mark.parametrize("column", ["translation", "original"])
def test_parallel_text_has_a_translation_and_nothing_to_learn(column: str, tmp_path: Path) -> None:
    examples = read_parallel(Path(table(tmp_path, "tatoeba.tsv", f"text\t{column}", "Да.\tYes.", "Нет.\tNo.")))
    assert (examples.texts, examples.english) == (["Да.", "Нет."], ["Yes.", "No."])
    assert not examples.annotated.any()


@pytest.mark.parametrize(
    ("row", "complaint"), [("Да.\t", "line 2: has no text or no translation"), ("", "holds no rows")]
)
def test_parallel_text_without_a_translation_is_refused(row: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=complaint):
        read_parallel(Path(table(tmp_path, "tatoeba.tsv", "text\ttranslation", *([row] if row else []))))


def test_the_labels_of_a_table_follow_the_convention_of_calls_or_that_of_its_public_set(tmp_path: Path) -> None:
    mine, cedr = (table(tmp_path, name, "text,emotions", "да,joy") for name in ("mine.csv", "cedr.csv"))
    assert [examples.conventions for examples in load([mine, cedr], "train")] == [(CALLS,), (PUBLIC,)]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["text,emotions", "да,joy", "нет,rage"], "line 3: rage is none of the emotions"),
        (["words,emotions", "да,joy"], "no column text"),
    ],
)
def test_what_cannot_be_used_is_named(lines: list[str], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=complaint):
        load([table(tmp_path, "calls.csv", *lines)], "train")


@pytest.mark.parametrize("line", ["[1]", "[" * 100_000])
def test_a_line_of_json_that_is_no_object_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"calls\.jsonl( is no list of objects|, line 1: is no JSON)"):
        load([table(tmp_path, "calls.jsonl", line)], "train")


@pytest.mark.parametrize("header", ["text,emotions", "text;emotions", "\ufefftext;emotions", "text\temotions\r"])
def test_what_spreadsheets_write_is_read(header: str, tmp_path: Path) -> None:
    delimiter = header.strip("\ufeff\r")[4]
    [examples] = load([table(tmp_path, "calls.csv", header, f"{'да' * 10_000}{delimiter}joy")], "train")
    assert (len(examples.texts[0]), examples.targets.sum()) == (20_000, 1)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"none\.csv cannot be read"):
        load([str(tmp_path / "none.csv")], "train")


def test_a_set_of_one_file_is_parted_by_the_hash_of_its_texts(tmp_path: Path) -> None:
    rows = [f"текст {at},joy" for at in range(500)] * 2
    [whole] = load([table(tmp_path, "all.csv", "text,emotions", *rows)], "train")
    train, validation = held_out(whole, "train"), held_out(whole, "validation")
    assert len(train) + len(validation) == 1_000
    assert 0.05 < len(validation) / 1_000 < 0.15
    assert not set(train.texts) & set(validation.texts)


def test_rows_of_one_session_stay_together_and_rows_without_one_stand_alone(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = ["а,joy,c-1", "б,anger,c-1", "в,fear,c-2", "г,fear,", "д,joy,"]
    file.write_text("text,emotions,session_id\n" + "\n".join(rows) + "\n", encoding="utf-8")
    examples = read_table(file, "train")
    assert examples is not None
    assert examples.dialogues == ["c-1", "c-1", "c-2", "labels-5", "labels-6"]
    assert examples.parts(5)[0] == examples.parts(5)[1]
    file.write_text("text,emotions\nа,joy\n", encoding="utf-8")
    without = read_table(file, "train")
    assert without is not None
    assert without.dialogues is None

"""Labelled texts of a user's own."""

from pathlib import Path

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.datasets import held_out, load
from training.errors import UnusableData


def table(folder: Path, name: str, *lines: str) -> str:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_a_table_names_texts_and_emotions(tmp_path: Path) -> None:
    [examples] = load(
        [table(tmp_path, "calls.csv", "text,emotions", 'да,"joy, surprise"', "нет,anger", "так,")], "train"
    )
    assert examples.source == "calls"
    assert [{EMOTIONS[at] for at in np.flatnonzero(row)} for row in examples.targets] == [
        {"joy", "surprise"}, {"anger"}, set(),
    ]  # fmt: skip
    assert examples.annotated.all()


def test_json_lines_may_say_more(tmp_path: Path) -> None:
    file = table(
        tmp_path, "calls.jsonl",
        '{"id": "a", "text": "да", "emotions": ["joy"], "annotated": ["joy", "anger"], "original": "yes"}',
        '{"id": "b", "text": "нет", "emotions": [], "original": "no", "split": "validation"}',
    )  # fmt: skip
    [train], [validation] = load([file], "train"), load([file], "validation")
    assert (train.ids, train.english) == (["a"], ["yes"])
    assert {EMOTIONS[at] for at in np.flatnonzero(train.annotated[0])} == {"joy", "anger"}
    assert validation.ids == ["b"]


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
    with pytest.raises(UnusableData, match=r"calls\.jsonl(, line 1: is no JSON object| cannot be read)"):
        load([table(tmp_path, "calls.jsonl", line)], "train")


@pytest.mark.parametrize("header", ["text,emotions", "text;emotions", "\ufefftext;emotions", "text\temotions\r"])
def test_what_spreadsheets_write_is_read(header: str, tmp_path: Path) -> None:
    delimiter = header.strip("\ufeff\r")[4]
    [examples] = load([table(tmp_path, "calls.csv", header, f"{'да' * 100_000}{delimiter}joy")], "train")
    assert (len(examples.texts[0]), examples.targets.sum()) == (200_000, 1)


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

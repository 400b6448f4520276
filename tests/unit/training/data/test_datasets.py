"""Published rows become examples of the seven emotions."""

import json
from pathlib import Path

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.data.examples import Examples, fingerprint
from training.data.public_sets import EKMAN, FINE, SOURCES, Source, convert
from training.errors import UnusableData


def write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def source(name: str) -> Source:
    return next(source for source in SOURCES if source.name == name)


def emotions(examples: Examples) -> list[set[str]]:
    return [{EMOTIONS[at] for at in np.flatnonzero(row)} for row in examples.targets]


@pytest.fixture
def goemotions(tmp_path: Path) -> Path:
    write(
        tmp_path / "ru_go_emotions" / "train_part.tsv",
        "id\tru_text\ten_text\tgoemotions_labels\tekman",
        'aa\tЯ сказал "нет".\t"I said ""no""."\tdisapproval\tanger',
        "bb\tСпасибо, но мне страшно\tThanks, but I am scared\tgratitude,fear\tjoy,fear",
        "cc\tНу и ну\tWell well\tsurprise\tsurprise",
    )
    write(
        tmp_path / "ru_go_emotions" / "validation.csv",
        "ru_text,text,labels,id",
        '"Как грустно, правда","How sad, really",[ 9 25],dd',
        "Обычный день,An ordinary day,[27],ee",
    )
    write(tmp_path / "goemotions" / "train.tsv", 'I said "no".\t10\taa', "Thanks\t15\tzz", "Well well\t26\tcc")
    return tmp_path


def test_every_fine_label_belongs_to_exactly_one_emotion() -> None:
    assert sorted(label for labels in EKMAN.values() for label in labels.split()) == sorted(FINE)
    assert tuple(EKMAN) == EMOTIONS


def test_translated_rows_keep_their_original_and_their_fine_labels(goemotions: Path) -> None:
    [examples] = load([str(goemotions / "ru_go_emotions")], "train")
    assert examples.texts[0] == 'Я сказал "нет".'
    assert examples.english == ['I said "no".', "Thanks, but I am scared", "Well well"]
    assert emotions(examples) == [{"anger"}, {"joy", "fear"}, {"surprise"}]
    assert examples.fine is not None
    assert {FINE[at] for at in np.flatnonzero(examples.fine[1])} == {"gratitude", "fear"}


def test_validation_rows_are_read_from_their_own_file(goemotions: Path) -> None:
    [examples] = load([str(goemotions / "ru_go_emotions")], "validation")
    assert (examples.ids, emotions(examples)) == (["dd", "ee"], [{"sadness"}, {"neutral"}])


def test_a_folder_that_holds_its_test_gives_it_too(goemotions: Path) -> None:
    write(goemotions / "goemotions" / "test.tsv", "Wow\t26\tff")
    [examples] = load([str(goemotions)], "test")
    assert (examples.source, examples.ids) == ("goemotions", ["ff"])


def test_a_folder_of_folders_gives_all_sets_in_it(goemotions: Path) -> None:
    assert [examples.source for examples in load([str(goemotions)], "train")] == ["goemotions", "ru_go_emotions"]


def test_a_dropped_row_is_dropped_in_both_languages(goemotions: Path) -> None:
    write(goemotions / "rows_to_drop.json", json.dumps({"ru_go_emotions/train_part.tsv": [2]}))
    english, russian = load([str(goemotions)], "train")
    assert (english.ids, russian.ids) == (["aa", "zz"], ["aa", "bb"])


def test_a_list_of_rows_to_drop_for_another_file_is_refused(goemotions: Path) -> None:
    write(goemotions / "rows_to_drop.json", json.dumps({"ru_go_emotions/train_part.tsv": [99]}))
    with pytest.raises(UnusableData, match="does not have"):
        load([str(goemotions)], "train")


def test_cedr_says_nothing_of_disgust_and_counts_no_emotion_as_neutral(tmp_path: Path) -> None:
    write(tmp_path / "cedr" / "cedr-main-train.csv", "text,labels,source", '"а, б","[0, 4]",lj', "г,[],lj")
    [examples], [held_out] = (load([str(tmp_path / "cedr")], split) for split in ("train", "validation"))
    assert emotions(examples) + emotions(held_out) == [{"joy", "anger"}, {"neutral"}]
    assert [EMOTIONS[at] for at in np.flatnonzero(~examples.annotated[0])] == ["disgust"]


def test_brighter_counts_all_zeros_as_neutral(tmp_path: Path) -> None:
    header = "id,text,anger,disgust,fear,joy,sadness,surprise"
    write(tmp_path / "brighter" / "rus_track_a_train.csv", header, "1,а,0,1,0,0,0,0", "2,б,0,0,0,0,0,0")
    [examples] = load([str(tmp_path / "brighter")], "train")
    assert emotions(examples) == [{"disgust"}, {"neutral"}]
    assert examples.annotated.all()


def test_izard_keeps_the_seven_and_leaves_the_other_three() -> None:
    row = {"text": "а", **dict.fromkeys(EMOTIONS, 0), "enthusiasm": 1, "guilt": 0, "shame": 0, "sadness": 1}
    assert emotions(convert(source("ru_izard_emotions"), [row], "hub")) == [{"sadness"}]


def test_rows_of_the_hub_hold_lists_and_become_the_same() -> None:
    rows = [{"ru_text": "Как грустно", "text": "How sad", "labels": [9, 25], "id": "dd"}]
    assert emotions(convert(source("ru_go_emotions"), rows, "seara/ru_go_emotions")) == [{"sadness"}]
    assert emotions(convert(source("cedr"), [{"text": "а", "labels": [3]}], "hub")) == [{"fear"}]


@pytest.mark.parametrize(
    ("header", "row", "complaint"),
    [
        ("text,label,source", "а,[0],lj", "no column labels"),
        ("text,labels,source", "а,[7],lj", "labels that are not those of sagteam/cedr_v1"),
        ("text,labels,source", "а,[bliss],lj", "labels that are not those of sagteam/cedr_v1"),
    ],
)
def test_other_columns_or_labels_are_one_clear_error(tmp_path: Path, header: str, row: str, complaint: str) -> None:
    file = write(tmp_path / "cedr" / "cedr-main-train.csv", header, row)
    with pytest.raises(UnusableData, match=complaint) as error:
        load([str(file.parent)], "train")
    assert str(file) in str(error.value)


def test_a_file_in_another_encoding_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cedr-main-train.csv").write_bytes("text,labels\nда,[0]\n".encode("cp1251"))
    with pytest.raises(UnusableData, match=r"cedr-main-train\.csv, line 2: is not in UTF-8 .* iconv -f cp1251"):
        load([str(tmp_path)], "train")


BRIGHTER = ("brighter", "rus_track_a_train.csv", "id,text,anger,disgust,fear,joy,sadness,surprise")
IZARD = ("ru_izard_emotions", "train.csv", "text,neutral,joy,sadness,anger,surprise,disgust,fear")
CEDR = ("cedr", "cedr-main-train.csv", "text,labels,source")
GOEMOTIONS = ("goemotions", "train.tsv", "Thanks\t15\tzz")
XED = ("xed", "ru-projections.tsv", "Ну и ну.\t2, 7")


@pytest.mark.parametrize(
    ("file", "row", "complaint"),
    [
        (BRIGHTER, "1,а,0,1,0,0,0", "line 2: has fewer cells than there are columns"),
        (BRIGHTER, '1,"а,1,0,0,0,0,0\n2,б,0,1,0,0,0,0\n3,в",0,0,0,0,1,0', "line 4: holds whole rows in one cell"),
        (BRIGHTER, '1,"а,1,0,0,0,0,0\n2,в",0,0,0,0,1,0', "line 3: holds whole rows in one cell"),
        (BRIGHTER, "1,а,0,0.5,0,0,0,0", "disgust has the score 0.5"),
        (BRIGHTER, "1,а,0,,0,0,0,0", "disgust is empty"),
        (IZARD, "а,0,1,0,0,0,0,0,1", "line 2: has more cells than there are columns"),
        (IZARD, " ,0,1,0,0,0,0,0", "row 1 has an empty text"),
        (CEDR, '"а,[0],lj\nб,[1],lj\nв",[2],lj', "line 4: holds whole rows in one cell"),
        (CEDR, ",[2],lj", "row 1 has an empty text"),
        (GOEMOTIONS, "Well\t26", "line 2: has fewer cells"),
        (GOEMOTIONS, "Well\t26\tcc\tdd", "line 2: has more cells"),
        (XED, "Ну.\t0", "labels that are not those of Helsinki-NLP/xed_en_fi"),
    ],
)
def test_a_row_of_a_published_file_that_is_not_whole_is_one_clear_error(
    file: tuple[str, str, str], row: str, complaint: str, tmp_path: Path
) -> None:
    folder, name, header = file
    write(tmp_path / folder / name, header, row)
    with pytest.raises(UnusableData, match=complaint) as error:
        load([str(tmp_path / folder)], "train")
    assert str(tmp_path / folder / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_marks_of_a_published_file_may_be_whole_numbers_with_a_point(tmp_path: Path) -> None:
    folder, name, header = BRIGHTER
    write(tmp_path / folder / name, header, "1,а,0.0,1.0,0.0,0.0,0.0,0.0")
    [examples] = load([str(tmp_path / folder)], "train")
    assert emotions(examples) == [{"disgust"}]


def test_an_unknown_name_lists_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="seara/ru_go_emotions"):
        load(["nobody/nothing"], "train")
    with pytest.raises(UnusableData, match=r"validation\.csv"):
        load([str(tmp_path)], "train")


def test_the_fingerprint_changes_with_a_label(goemotions: Path) -> None:
    [examples] = load([str(goemotions / "ru_go_emotions")], "train")
    [again] = load([str(goemotions / "ru_go_emotions")], "train")
    assert fingerprint([examples]) == fingerprint([again])
    again.targets[0, 0] = 0
    assert fingerprint([examples]) != fingerprint([again])


def test_xed_has_six_of_the_seven_and_says_nothing_of_neutral(tmp_path: Path) -> None:
    write(tmp_path / "xed" / "ru-projections.tsv", "Ну и ну.\t2, 7", "Гадость\t1, 3, 8")
    [examples] = load([str(tmp_path / "xed")], "train")
    assert emotions(examples) == [{"surprise"}, {"anger", "disgust"}]
    assert [EMOTIONS[at] for at in np.flatnonzero(~examples.annotated[0])] == ["neutral"]

"""Names of columns and labels: known without doubt, or said by `--map`."""

import datetime as dt
from pathlib import Path

import pytest

from training.errors import UnusableData, UnusableRecipe
from training.label_files.label import Label
from training.label_files.options import ReadOptions, parse_map
from training.label_files.reading import read_labels


def read(folder: Path, content: str, *mapped: str, threshold: float | None = None, name: str = "a.csv") -> list[Label]:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    columns, wanted = parse_map(mapped)
    reading = read_labels(file, ReadOptions(columns=columns, wanted=wanted, threshold=threshold))
    assert not reading.bad, reading.bad
    return reading.labels


def test_russian_names_are_known(tmp_path: Path) -> None:
    labels = read(tmp_path, "Реплика;Эмоции;Разметчик\nгде заказ;Гнев, печаль;анна\nспасибо;радость;анна\n")
    assert [(label.emotions, label.annotator) for label in labels] == [
        (("anger", "sadness"), "анна"),
        (("joy",), "анна"),
    ]


def test_other_names_are_said_by_a_map(tmp_path: Path) -> None:
    content = "Слова,Тон\nгде заказ,очень зол\nспасибо,доволен\nалло,другое\n"
    labels = read(tmp_path, content, "text=слова", "emotions=Тон", "anger=очень зол", "joy=доволен,рад", "skip=другое")
    assert [label.emotions for label in labels] == [("anger",), ("joy",)]


def test_marks_in_columns_of_other_names_are_said_by_a_map(tmp_path: Path) -> None:
    [label] = read(tmp_path, "text,Недовольство,Страх\nгде заказ,1,0\n", "anger=Недовольство")
    assert (label.emotions, label.annotated) == (("anger",), ("anger", "fear"))


def test_scores_need_a_threshold(tmp_path: Path) -> None:
    content = '{"text": "где заказ", "emotions": {"anger": 0.7, "joy": 0.0, "neutral": 0.4}}\n'
    [label] = read(tmp_path, content, threshold=0.5, name="a.jsonl")
    assert (label.emotions, label.annotated) == (("anger",), ("anger", "joy", "neutral"))
    [label] = read(tmp_path, "text;anger;joy\nгде заказ;0,7;0,2\n", threshold=0.6)
    assert (label.emotions, label.annotated) == (("anger",), ("anger", "joy"))


def test_a_column_may_mark_rows_to_leave_out(tmp_path: Path) -> None:
    content = "text;joy;anger;не слышно\nа;1;0;1\nб;1;0;0\nв;0;1;\n"
    labels = read(tmp_path, content, "skip=не слышно")
    assert [(label.text, label.emotions, label.annotated) for label in labels] == [
        ("б", ("joy",), ("anger", "joy")),
        ("в", ("anger",), ("anger", "joy")),
    ]


DOCCANO = '{"id": 1, "text": "да", "label": ["joy"], "Comments": [], "user": "анна"}\n'
STUDIO = '{"id": 1, "text": "да", "emotions": "joy", "annotator": 1, "annotation_id": 3}\n'


@pytest.mark.parametrize(
    ("name", "content", "mapped", "complaint"),
    [
        ("a.csv", "text;emotions;тон\nда;joy;1\n", "anger=тон", "means a column, while the column emotions gives"),
        ("a.csv", "text;emotions;тон\nда;joy;1\n", "skip=тон", "means a column, while the column emotions gives"),
        ("a.jsonl", DOCCANO, "annotator=user", "of the form doccano, .* --map annotator=user would be ignored"),
        ("a.jsonl", STUDIO, "emotions=tone", "of the form label-studio, .* --map emotions=tone would be ignored"),
    ],
)
def test_a_map_that_would_be_ignored_is_refused(
    name: str, content: str, mapped: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableData, match=complaint):
        read(tmp_path, content, mapped, name=name)


@pytest.mark.parametrize(
    ("mapped", "complaint"),
    [
        ("wrath=гнев", "--map wrath=гнев is not understood"),
        ("anger", "--map anger is not understood"),
        ("anger=зол,добр joy=добр", "gives добр two meanings"),
        ("anger=зол anger=зла", "names anger twice"),
    ],
)
def test_a_map_that_says_nothing_is_refused(mapped: str, complaint: str) -> None:
    with pytest.raises(UnusableRecipe, match=complaint):
        parse_map(mapped.split())


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"has no column Тон, which --map names .found: Слова, Метка."):
        read(tmp_path, "Слова,Метка\nда,joy\n", "emotions=Тон")


def test_a_workbook_is_read_as_its_sheet_shows_it(tmp_path: Path) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    file = tmp_path / "labels.xlsx"
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet("заметки").write(0, 0, "разметка за май")
        sheet = book.add_worksheet("разметка")
        sheet.write_row(0, 0, ["Текст", "Эмоция", "transcript_id", "labelled_at"])
        moment = book.add_format({"num_format": "dd.mm.yyyy hh:mm"})
        for at, text in enumerate(["=1+1", "0006", "алло"], 1):
            sheet.write_string(at, 0, text)
            sheet.write(at, 1, "радость")
            sheet.write(at, 2, at)
            sheet.write_datetime(at, 3, dt.datetime(2026, 5, 4, 12), moment)  # noqa: DTZ001 - a sheet knows no zones.
    labels = read_labels(file).labels
    assert [(label.text, label.transcript_id) for label in labels] == [("=1+1", "1"), ("0006", "2"), ("алло", "3")]
    assert {(label.emotions, label.labelled_at) for label in labels} == {
        (("joy",), dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC))
    }


def test_a_workbook_of_two_sheets_of_labels_is_refused(tmp_path: Path) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    file = tmp_path / "labels.xlsx"
    with xlsxwriter.Workbook(file) as book:
        for name in ("май", "июнь"):
            book.add_worksheet(name).write_row(0, 0, ["text", "emotions"])
    with pytest.raises(UnusableData, match=r"has 2 sheets with a text and its emotions .май, июнь."):
        read_labels(file)


def test_a_workbook_behind_a_password_is_refused_in_one_line(tmp_path: Path) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    file = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet().write_row(0, 0, ["text", "emotions"])
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption, of the archive's first part
    file.write_bytes(content)
    with pytest.raises(UnusableData, match="is protected by a password"):
        read_labels(file)


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet", "a.xls"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PAR1", b"text,emotions\n"])
def test_what_is_no_workbook_or_parquet_is_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UnusableData, match=r"cannot be read as") as error:
        read_labels(file)
    assert "\n" not in str(error.value)


def test_parquet_is_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415 - an extra.

    rows = {
        "text": ["да", "нет"],
        "emotions": [["joy"], ["anger", "fear"]],
        "labelled_at": [dt.datetime.now(dt.UTC)] * 2,
    }
    parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
    labels = read_labels(tmp_path / "a.parquet").labels
    assert [label.emotions for label in labels] == [("joy",), ("anger", "fear")]
    assert labels[0].labelled_at == rows["labelled_at"][0]

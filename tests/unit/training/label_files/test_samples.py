"""A sample of each form: the labels that it holds, by the reader of `labels import` and by that of `fit`."""

from pathlib import Path
from typing import Any, Final

import pytest
from places import DATA, ROOT

from training.data.datasets import load
from training.errors import UnusableData
from training.label_files.options import ReadOptions, parse_map
from training.label_files.reading import Reading, read_labels

SAMPLES: Final = DATA / "labels"

WANTED: Final = {
    "где моя машина я жду уже час": ("anger",),
    "спасибо вам огромное, выручили": ("joy",),
    "ой мамочки что это грохнуло": ("fear", "surprise"),
    "номер заказа сорок два": ("neutral",),
}
REFUSED: Final = {
    "argilla-nested.json": "does not say which answers were submitted",
    "classify.jsonl": "says what a model found",
}
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "scores.jsonl": {"threshold": 0.5},
    "other-names.csv": dict(
        zip(
            ("columns", "wanted"),
            parse_map(
                [
                    "text=слова",
                    "emotions=тон",
                    "anger=очень зол",
                    "joy=доволен",
                    "fear=напуган",
                    "surprise=поражен",
                    "neutral=ровно",
                    "skip=не слышно",
                ]
            ),
            strict=True,
        )
    ),
}
FORMS: Final = {"argilla": "argilla", "doccano": "doccano", "prodigy": "prodigy", "label-studio": "label-studio"}


def sample(name: str) -> Reading:
    return read_labels(SAMPLES / name, ReadOptions(**OPTIONS.get(name, {})))


def names() -> list[str]:
    return sorted(file.name for file in SAMPLES.iterdir() if file.suffix != ".md")


@pytest.mark.parametrize("name", [name for name in names() if name not in REFUSED])
def test_every_form_holds_the_same_labels(name: str) -> None:
    reading = sample(name)
    assert not reading.bad
    assert not reading.contradictions
    assert {label.text: label.emotions for label in reading.labels} == WANTED
    assert len(reading.labels) == len(WANTED)
    expected = next((form for begin, form in FORMS.items() if name.startswith(begin)), "table")
    assert {label.origin for label in reading.labels} == {expected}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_holds_no_labels_of_people_for_sure_is_refused(name: str) -> None:
    with pytest.raises(UnusableData, match=f"{name}.*{REFUSED[name]}") as error:
        sample(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in names() if name not in REFUSED | OPTIONS])
def test_a_fit_learns_what_an_import_stores(name: str) -> None:
    [examples] = load([str(SAMPLES / name)], "train")
    assert dict(zip(examples.texts, examples.targets.sum(axis=1).tolist(), strict=True)) == {
        text: len(emotions) for text, emotions in WANTED.items()
    }


@pytest.mark.parametrize(
    ("name", "annotator", "transcripts"),
    [
        ("doccano.jsonl", "", True),
        ("argilla.jsonl", "11111111-1111-4111-8111-111111111111", True),
        ("prodigy.jsonl", "calls-anna", True),
        ("prodigy-binary.jsonl", "calls-anna", True),
        ("label-studio-controls.json", "1", True),
        ("label-studio-controls-min.json", "1", True),
        ("russian.csv", "анна", False),
        ("table.xlsx", "анна", False),
    ],
)
def test_annotators_and_transcripts_come_along(name: str, annotator: str, transcripts: bool) -> None:
    labels = sample(name).labels
    assert {label.annotator for label in labels} == {annotator}
    assert [label.transcript_id for label in labels] == (
        ["0006", "0007", "0008", "0009"] if transcripts else [None] * 4
    )


@pytest.mark.parametrize("name", ["label-studio-controls.json", "label-studio-controls-min.json"])
def test_another_control_is_read_where_it_is_named(name: str) -> None:
    """The topic of all four texts is `joy` in the sample, and joy is none of most."""
    labels = read_labels(SAMPLES / name, ReadOptions(control="topic")).labels
    assert [label.emotions for label in labels] == [("joy",)] * 4
    with pytest.raises(UnusableData, match=r"no answer is by the control mood \(found: .*topic.*\)"):
        read_labels(SAMPLES / name, ReadOptions(control="mood"))


def test_each_form_has_its_sample_in_the_table_of_the_docs() -> None:
    page = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
    assert [name for name in names() if f"`{name}`" not in page] == []


def test_a_yes_and_a_no_to_one_label_of_one_text_are_a_bad_row(tmp_path: Path) -> None:
    row = '{"text": "да", "label": "joy", "answer": "%s", "_task_hash": 1}\n'
    file = tmp_path / "a.jsonl"
    file.write_text(row % "accept" + row % "reject", encoding="utf-8")
    reading = read_labels(file)
    assert [(label.emotions, label.annotated) for label in reading.labels] == [(("joy",), ("joy",))]
    assert [str(bad) for bad in reading.bad] == ["line 2: both accepts and rejects joy; the first answer is kept"]

"""The public sets of emotion-labelled text, and how the rows of each become examples of the seven emotions.

* GoEmotions (English, and its Russian translation) has 28 labels; `EKMAN` groups them as its authors do
  (Demszky et al. 2020, https://aclanthology.org/2020.acl-main.372).
* Izard's ten hold our seven by name; enthusiasm, guilt and shame are left out.
* BRIGHTER and CEDR have no neutral: a text with none of their emotions counts as neutral.
* CEDR's annotators were never asked for disgust, so there it is not annotated, neither present nor absent.
* XED's subtitles (Öhman et al. 2020, https://aclanthology.org/2020.coling-main.575) carry Plutchik's eight;
  anticipation and trust are left out, and neutral is not annotated.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.errors import UnusableData
from training.label_files.emotion_names import read_mark

Split = Literal["train", "validation", "test"]
Rows = Sequence[Mapping[str, Any]]

FINE: Final = tuple(
    """
    admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust
    embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse
    sadness surprise neutral
    """.split()  # noqa: SIM905 - a list of words reads best as words.
)
"""GoEmotions' labels, in the order of their numbers."""

EKMAN: Final = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
    "neutral": "neutral",
}
"""The labels of GoEmotions that make up each emotion."""

CEDR_LABELS: Final = ("joy", "sadness", "surprise", "fear", "anger")
"""CEDR's labels, in the order of their numbers."""

XED_LABELS: Final = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
"""XED's labels, in the order of their numbers, which begin at 1."""

_GROUPED: Final = np.array(
    [[label in EKMAN[emotion].split() for emotion in EMOTIONS] for label in FINE], np.float32
)  # 28 x 7


@dataclass(frozen=True)
class Source:
    """Where a set is published, and how its rows become examples.

    A set that gives one file for training and validation is parted by the hash of the text: a tenth validates.
    """

    name: str
    hub: tuple[str, str | None]
    files: Mapping[Split, str]
    columns: tuple[str, ...]
    convert: Callable[["Source", Rows], Examples]
    hub_splits: Mapping[Split, str] = field(default_factory=dict)


def convert(source: Source, rows: Rows, where: str) -> Examples:
    """Make examples of a set's rows.

    Args:
        source: the set.
        rows: as published, from its files or from the hub.
        where: they come from, for the message.

    Raises:
        UnusableData: columns or labels are not those of the set.
    """
    rows = [{_SAME.get(str(key), key): value for key, value in row.items()} for row in rows]
    missing = [column for column in source.columns if not rows or column not in rows[0]]
    if missing:
        found = ", ".join(map(str, rows[0])) if rows else "no rows"
        raise UnusableData(
            f"{where} has no column {', '.join(missing)} (found: {found}). Give the file as {source.hub[0]} has it"
        )
    try:
        examples = source.convert(source, rows)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise UnusableData(
            f"{where} holds labels that are not those of {source.hub[0]}: {error}. Give the file as published"
        ) from error
    if blank := [at for at, text in enumerate(examples.texts, 1) if not text.strip()]:
        raise UnusableData(f"{where}: row {blank[0]} has an empty text. Leave it out, or give the file as published")
    return examples


# The part of the translated training rows that travels as TSV names two columns otherwise than the hub does.
_SAME: Final = {"en_text": "text", "goemotions_labels": "labels"}


def _numbers(cell: Any, names: Sequence[str]) -> list[int]:
    """Read a cell of labels: a list of numbers, or text such as "[ 4 27]", "4,27", "anger,annoyance"."""
    words = re.findall(r"\w+", cell) if isinstance(cell, str) else [str(number) for number in cell]
    numbers = [int(word) if word.isdigit() else names.index(word) for word in words]
    if any(number >= len(names) for number in numbers):
        raise ValueError(f"{cell!r}")
    return numbers


def _one_hot(rows: Rows, names: Sequence[str]) -> NDArray[np.float32]:
    labels = np.zeros((len(rows), len(names)), np.float32)
    for at, row in enumerate(rows):
        labels[at, _numbers(row["labels"], names)] = 1
    return labels


def _goemotions(source: Source, rows: Rows) -> Examples:
    fine = _one_hot(rows, FINE)
    translated = source.name == "ru_go_emotions"
    return Examples(
        source=source.name,
        language="ru" if translated else "en",
        ids=[row["id"] for row in rows],
        texts=[row["ru_text" if translated else "text"] for row in rows],
        targets=np.minimum(fine @ _GROUPED, 1),
        annotated=np.ones((len(rows), len(EMOTIONS)), np.bool_),
        english=[_unquoted(row["text"]) for row in rows] if translated else None,
        fine=fine,
    )


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"').strip() if re.fullmatch(r'".*"', text) else text


def _cedr(source: Source, rows: Rows) -> Examples:
    labels = _one_hot(rows, CEDR_LABELS)
    by_name = dict(zip(CEDR_LABELS, labels.T, strict=True))
    return _russian(source, rows, by_name)


def _xed(source: Source, rows: Rows) -> Examples:
    labels = np.zeros((len(rows), len(XED_LABELS)), np.float32)
    for at, row in enumerate(rows):
        numbers = [int(number) - 1 for number in re.findall(r"\d+", row["labels"])]
        if any(not 0 <= number < len(XED_LABELS) for number in numbers):
            raise ValueError(f"{row['labels']!r}")
        labels[at, numbers] = 1
    by_name = {name: column for name, column in zip(XED_LABELS, labels.T, strict=True) if name in EMOTIONS}
    return _russian(source, rows, by_name, neutral=False)


def _columns(source: Source, rows: Rows) -> Examples:
    by_name: dict[str, NDArray[np.float32]] = {
        emotion: np.array([_given(row[emotion], emotion) for row in rows], np.float32)
        for emotion in EMOTIONS
        if emotion in source.columns
    }
    return _russian(source, rows, by_name)


def _given(cell: Any, emotion: str) -> bool:
    if (mark := read_mark(cell, emotion)) is None:
        raise ValueError(f"{emotion} is empty")
    return mark


def _russian(source: Source, rows: Rows, by_name: dict[str, NDArray[np.float32]], *, neutral: bool = True) -> Examples:
    if neutral:
        by_name.setdefault("neutral", 1 - np.max(list(by_name.values()), axis=0))
    nothing = np.zeros(len(rows), np.float32)
    annotated = [emotion in by_name for emotion in EMOTIONS]
    return Examples(
        source=source.name,
        language="ru",
        ids=[f"{source.name}-{at}" for at in range(len(rows))],
        texts=[row["text"] for row in rows],
        targets=np.stack([by_name.get(emotion, nothing) for emotion in EMOTIONS], axis=1),
        annotated=np.tile(np.array(annotated, np.bool_), (len(rows), 1)),
    )


SOURCES: Final = (
    Source(
        name="ru_go_emotions",
        hub=("seara/ru_go_emotions", "simplified"),
        files={"train": "train_part.tsv", "validation": "validation.csv"},
        columns=("ru_text", "text", "labels", "id"),
        convert=_goemotions,
    ),
    Source(
        name="goemotions",
        hub=("go_emotions", "simplified"),
        files={"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
        columns=("text", "labels", "id"),
        convert=_goemotions,
    ),
    Source(
        name="ru_izard_emotions",
        hub=("Djacon/ru-izard-emotions", None),
        files={"train": "train.csv", "validation": "val.csv", "test": "test.csv"},
        columns=("text", *EMOTIONS),
        convert=_columns,
    ),
    Source(
        name="cedr",
        hub=("sagteam/cedr_v1", "main"),
        files={"train": "cedr-main-train.csv", "validation": "cedr-main-train.csv"},
        columns=("text", "labels"),
        convert=_cedr,
        hub_splits={"validation": "train"},
    ),
    Source(
        name="brighter",
        hub=("brighter-dataset/BRIGHTER-emotion-categories", "rus"),
        files={"train": "rus_track_a_train.csv", "validation": "rus_track_a_dev.csv"},
        columns=("text", "anger", "disgust", "fear", "joy", "sadness", "surprise"),
        convert=_columns,
        hub_splits={"validation": "dev"},
    ),
    Source(
        name="xed",
        hub=("Helsinki-NLP/xed_en_fi", None),
        files={"train": "ru-projections.tsv"},
        columns=("text", "labels"),
        convert=_xed,
    ),
)

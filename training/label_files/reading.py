"""Reading labels from files of any form that is known, by one rulebook for all commands.

A table (CSV, TSV, JSON lines, a workbook, Parquet) has the columns of `options.FIELDS`, others by `columns`. Exports of
labelling tools are known by the names of their fields. What is of no known form is refused.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.errors import UnusableData
from training.label_files import argilla, doccano, label_studio, prodigy, sheet
from training.label_files.columns import annotator_column, find_columns
from training.label_files.emotion_names import SkippedRow, fold
from training.label_files.excel import SUFFIXES as WORKBOOKS
from training.label_files.excel import read_workbook
from training.label_files.label import BadRow, Label, label_of
from training.label_files.options import ReadOptions
from training.label_files.parquet import read_parquet
from training.label_files.rows import Cells, LabelRows, RawTable, quote
from training.label_files.text_files import read_csv, read_json

TABLE: Final = "table"
"""Origin of the labels in a table that names none."""

_CONTAINERS: Final[Mapping[str, Callable[[Path, ReadOptions], RawTable]]] = {
    ".csv": lambda file, options: read_csv(file, options.names),
    ".tsv": lambda file, options: read_csv(file, options.names),
    ".jsonl": lambda file, _: read_json(file),
    ".json": lambda file, _: read_json(file),
    ".parquet": lambda file, _: read_parquet(file),
    **dict.fromkeys(WORKBOOKS, read_workbook),
}

SUFFIXES: Final = tuple(_CONTAINERS)
"""Endings of the names of label files."""


class _Form(NamedTuple):
    """An export of a labelling tool: how it is known by its columns, and how its rows are read."""

    name: str
    knows: Callable[[Collection[str]], bool]
    rows: Callable[[RawTable, ReadOptions], LabelRows]


_FORMS: Final = (
    _Form(label_studio.LABEL_STUDIO, label_studio.knows, label_studio.rows),
    _Form(prodigy.PRODIGY, prodigy.knows, prodigy.rows),
    _Form(argilla.ARGILLA, argilla.knows, argilla.rows),
    _Form(doccano.DOCCANO, doccano.knows, doccano.rows),
    _Form(TABLE, sheet.knows, sheet.rows),
)

_WORD: Final = re.compile(r"\w+")

_OF_A_MODEL: Final = (
    *("model_version", "scores", "convention", "normalizer", "kafka_offset", "not_scored", "windows", "cut"),
)
"""Columns of what `emotion-worker classify` prints, and of `emotion_results`; of no label of people two of them."""

_NAME_NO_PERSON: Final = (doccano.DOCCANO, TABLE)
"""Forms whose rows may be anybody's; in the others an answer is a person's."""


class Opened(NamedTuple):
    """A file whose form is known.

    Attributes:
        form: name of the form, and origin of rows that name none.
        mapping: which column holds what, in words; empty where the form says so.
        rows: the rows.
    """

    form: str
    mapping: str
    rows: LabelRows


class PlacedLabel(NamedTuple):
    """A label, where it stands, and the row's other cells."""

    where: str
    label: Label
    cells: Cells


@dataclass
class Reading:
    """What a file gave.

    Attributes:
        form: name of the file's form.
        mapping: which column holds what, in words; empty where the form says so.
        placed: the good rows.
        bad: the others.
        skipped: rows that nobody has answered, that were skipped, or that carry a label to be left out.
        contradictions: texts that one annotator answers in two ways, with the places; the last answer counts.
    """

    form: str = TABLE
    mapping: str = ""
    placed: list[PlacedLabel] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    skipped: int = 0
    contradictions: list[BadRow] = field(default_factory=list)

    @property
    def labels(self) -> list[Label]:
        """The labels of the good rows."""
        return [each.label for each in self.placed]


def read_labels(file: Path, options: ReadOptions | None = None) -> Reading:
    """Read the labels of a file.

    Args:
        file: a table, or an export of a labelling tool.
        options: what the command says of it.

    Raises:
        UnusableData: the file as a whole is not of a known form.
    """
    options = options or ReadOptions()
    form, mapping, rows = open_rows(file, options)
    reading = Reading(form, mapping)
    for where, row in rows:
        try:
            if isinstance(row, ValueError):
                raise row
            if row is None:
                raise SkippedRow  # noqa: TRY301 - the same.
            reading.placed.append(PlacedLabel(where, label_of(row, form, options), row))
        except SkippedRow:
            reading.skipped += 1
        except ValueError as error:
            reading.bad.append(BadRow(where, str(error)))
    reading.contradictions = list(_contradictions(reading.placed))
    return reading


def open_rows(file: Path, options: ReadOptions) -> Opened:
    """Open a file, find its form, and return its rows.

    Raises:
        UnusableData: the file cannot be read, or its form is not known.
    """
    table = open_table(file, options)
    for form in _FORMS:
        if form.knows(table.columns):
            if form.name in _NAME_NO_PERSON:
                _refuse_model_output(file, table, options)
            _refuse_map(file, form.name, options)
            return Opened(form.name, "", _named(file, form.rows(table, options)))
    _refuse_model_output(file, table, options)
    columns = find_columns(table.columns, str(file), options)
    rows = ((where, row if isinstance(row, ValueError) else columns.cells(row)) for where, row in table.rows)
    return Opened(TABLE, str(columns), rows)


def open_table(file: Path, options: ReadOptions | None = None) -> RawTable:
    """Open a file as a table, before its columns have a meaning.

    Raises:
        UnusableData: the file cannot be read, is of another kind, or names a column twice.
    """
    container = _CONTAINERS.get(file.suffix.lower())
    if container is None:
        raise UnusableData(f"{file}: labels come as {', '.join(SUFFIXES)}")
    table = container(file, options or ReadOptions())
    if twice := [name for name, times in Counter(table.columns).items() if times > 1 and name.strip()]:
        raise UnusableData(f"{file} names the column {quote(twice[0])} twice. Rename or leave out one of them")
    return table


def _named(file: Path, rows: LabelRows) -> LabelRows:
    """Let a form's refusal name the file, and come before the first row."""
    try:
        first = next(rows, None)
    except UnusableData as error:
        raise UnusableData(f"{file}: {error}") from error
    return iter(()) if first is None else chain([first], rows)


def _refuse_model_output(file: Path, table: RawTable, options: ReadOptions) -> None:
    names = [fold(column) for column in table.columns]
    found: list[str] = [name for name in _OF_A_MODEL if name in names]
    if "model_version" in found:
        found += [emotion for emotion in EMOTIONS if emotion in names]
        if annotator_column(table.columns, str(file), options) is None:
            found.append("no annotator")
    if len(found) > 1:
        raise UnusableData(
            f"{file} says what a model found (it has {found[0]} and {found[1]}), and labels are what people say: a "
            "model must not learn from itself. Where people have checked every row, leave out the model's columns"
        )


def _refuse_map(file: Path, form: str, options: ReadOptions) -> None:
    if ignored := [field for field in options.columns if field != "text"]:
        raise UnusableData(
            f"{file} is of the form {form}, whose fields are known, so --map {ignored[0]}="
            f"{quote(options.columns[ignored[0]])} would be ignored. Leave it out; --control names another control, "
            "--annotator who labelled"
        )


def _contradictions(placed: list[PlacedLabel]) -> Iterator[BadRow]:
    """Yield where one annotator answers one text in two ways: of these a retraining takes one."""
    seen: dict[tuple[str, str], PlacedLabel] = {}
    for each in placed:
        label = each.label
        # Spellings of a text count as one, and so does an annotator of several origins, as in a retraining.
        words = " ".join(_WORD.findall(normalize(label.text))) or label.text
        before = seen.setdefault((words, label.annotator or label.origin), each)
        if (label.emotions, label.annotated) != (before.label.emotions, before.label.annotated):
            said, first = (", ".join(one.emotions) or "none" for one in (label, before.label))
            yield BadRow(each.where, f"says {said} where {before.where} says {first} of one text; one of them counts")

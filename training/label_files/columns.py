"""Which column of a table holds what: by the documented names, by usual ones without doubt, or by `--map`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.label_files.emotion_names import NAMES, fold, names_emotions
from training.label_files.options import FIELDS, ReadOptions
from training.label_files.rows import Cells, list_names, quote

_USUAL: Final = {
    "text": "text текст реплика фраза высказывание utterance phrase sentence transcript transcription".split(),  # noqa: SIM905 - a list of words reads best as words.
    "emotions": "emotions emotion label labels эмоции эмоция метка метки разметка".split(),  # noqa: SIM905 - the same.
    "annotator": ["annotator", "аннотатор", "разметчик"],
}
"""What a column of these is usually called, the documented name first."""

_FEWEST_MARKS: Final = 2
"""Columns with names of emotions that make a table of marks; a single one may hold anything."""


@dataclass(frozen=True)
class Columns:
    """Which column holds what.

    Attributes:
        fields: the column of each field.
        marks: the column that marks each emotion, or `SKIP`, where there is no column of names.
        unused: columns that give emotions by none of these; empty where `--map` says which column gives them.
    """

    fields: dict[str, str]
    marks: dict[str, str]
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{ours} from `{quote(theirs)}`" for ours, theirs in (self.fields | self.marks).items())

    def cells(self, row: Cells) -> dict[str, Any] | ValueError:
        """Return a row's cells by the names of our fields."""
        cells = {field: row.get(column) for field, column in self.fields.items()}
        if second := [column for column in self.unused if names_emotions(row.get(column))]:
            return ValueError(
                f"names emotions in the column {quote(second[0])} too. Leave it out, or say which column gives them, "
                "as labels import --map emotions=NAME"
            )
        if self.marks:
            # A cell that is not there is no cross that somebody left out.
            if missing := [column for column in self.marks.values() if row.get(column) is None]:
                return ValueError(f"has no {quote(missing[0])}")
            cells["emotions"] = {column: row[column] for column in self.marks.values()}
        return cells


def find_columns(columns: Sequence[str], where: str, options: ReadOptions) -> Columns:
    """Find the columns of a table.

    Args:
        columns: names, as the file writes them.
        where: the file, for the message.
        options: what the command says of them.

    Raises:
        UnusableData: the text or the emotions have no column, or more than one that may be meant.
    """
    fields = {field: _named(column, columns, where) for field, column in options.columns.items()}
    for field in FIELDS:
        if field not in fields and (column := _usual(field, columns, where)) is not None:
            fields[field] = column
    marks = _marks(columns, where, options, fields)
    missing = [name for name in ("text", "emotions") if name not in fields and not (name == "emotions" and marks)]
    if missing:
        raise UnusableData(
            f"{where} has no column {' and no column '.join(missing)} (found: {list_names(columns)}). "
            f"Name the columns in the first line, or say which one is meant, as labels import --map {missing[0]}=NAME"
        )
    used = {*fields.values(), *marks.values()}
    unused = () if "emotions" in options.columns else tuple(column for column in columns if column not in used)
    return Columns(fields, marks, unused)


def annotator_column(columns: Sequence[str], where: str, options: ReadOptions) -> str | None:
    """Return the column that names the annotator, if there is one.

    Args:
        columns: names, as the file writes them.
        where: the file, for the message.
        options: what the command says of them.

    Raises:
        UnusableData: several may be meant.
    """
    return options.columns.get("annotator") or _usual("annotator", columns, where)


def _usual(field: str, columns: Sequence[str], where: str) -> str | None:
    """Return the column of a field by its name: the documented one, or the only one of the usual ones."""
    for names in ([field], _USUAL.get(field, [])):
        found = [column for column in columns if fold(column) in names]
        if len(found) > 1:
            raise UnusableData(
                f"{where}: the columns {list_names(found)} may both be the {field}. Rename one, or say which is "
                f"meant, as labels import --map {field}={quote(found[0])}"
            )
        if found:
            return found[0]
    return None


def _named(column: str, columns: Sequence[str], where: str) -> str:
    found = [each for each in columns if fold(each) == fold(column)]
    if len(found) != 1:
        raise UnusableData(
            f"{where} has {len(found) or 'no'} column{'s' * (len(found) > 1)} {column}, which --map names (found: "
            f"{list_names(columns)})"
        )
    return found[0]


def _marks(columns: Sequence[str], where: str, options: ReadOptions, fields: dict[str, str]) -> dict[str, str]:
    """Return the column that marks each emotion; none where one column names them."""
    folded = [fold(column) for column in columns]
    mapped = {
        emotion: _named(names[0], columns, where)
        for emotion, names in options.wanted.items()
        if len(names) == 1 and fold(names[0]) in folded
    }
    found = dict(mapped)
    for emotion in EMOTIONS:
        named = [column for column, name in zip(columns, folded, strict=True) if NAMES.get(name) == emotion]
        if emotion in found or not named:
            continue
        if len(named) > 1:
            raise UnusableData(f"{where}: the columns {list_names(named)} both mark {emotion}. Leave one of them")
        found[emotion] = named[0]
    if mapped and "emotions" in fields:
        ours, theirs = next(iter(mapped.items()))
        raise UnusableData(
            f"{where}: --map {ours}={quote(theirs)} means a column, while the column {quote(fields['emotions'])} gives "
            "the emotions. Leave one of them out, or rename the column"
        )
    if "emotions" in options.columns or ("emotions" in fields and len(found) < _FEWEST_MARKS):
        return {}
    if "emotions" in fields:
        raise UnusableData(
            f"{where}: the column {quote(fields['emotions'])} and those named {list_names(found.values())} may all "
            f"give the emotions. Leave one kind, or say labels import --map emotions={quote(fields['emotions'])}"
        )
    return found if len(found) >= _FEWEST_MARKS or mapped else {}

"""Emotion-labelled texts, read from the package, from the folders in which sets are published, or from the hub."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, get_args
from zlib import crc32

import numpy as np

from training.data import calls_corpus
from training.data.examples import CALLS, Examples
from training.data.own_tables import name_tables, require_distinct
from training.data.public_sets import SOURCES, Rows, Source, Split, convert
from training.data.tables import read_table
from training.errors import UnusableData
from training.label_files.rows import Cells
from training.label_files.text_files import read_csv

_PARTS: Final = 10

ROWS_TO_DROP: Final = "rows_to_drop.json"
"""Beside the folders of the sets: for each file the 0-based rows that near-duplicate evaluation rows."""


def load(data: Iterable[str], split: Split, convention: str = CALLS) -> list[Examples]:
    """Read a split of each set.

    Args:
        data: `calls`, the project's own set; folders of a set, folders that hold such folders, names of the sets on
            the hub, or tables of one's own.
        split: train, validation or test; what lacks it is passed over. Beside a folder without its set's test, a
            `rows_to_drop.json` can say which training rows are near it.
        convention: that the labels of one's own tables follow.

    Raises:
        UnusableData: a folder or name is unknown, a set is not in its published form, or two sets have one name.
    """
    names = list(data)
    tables = name_tables(names)
    sets = [examples for name in names for examples in _load(name, split, convention, tables.get(name))]
    require_distinct(examples.source for examples in sets)
    return sets


def held_out(examples: Examples, split: Split) -> Examples:
    """Return the rows of a split, where one file gives both: a tenth validates, by the hash of its text."""
    tenth = np.array([crc32(text.encode()) % _PARTS == 0 for text in examples.texts], np.bool_)
    return examples.take(np.flatnonzero(tenth if split == "validation" else ~tenth))


def _load(name: str, split: Split, convention: str, table: str | None) -> list[Examples]:
    if name == calls_corpus.NAME:
        return [calls_corpus.load_calls(split)]
    folder = Path(name)
    if table is not None:
        rows = read_table(folder, split, convention, name=table)
        return [] if rows is None else [rows]
    if not folder.is_dir():
        return _from_hub(name, split)
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    known = [(path, source) for path in candidates for source in SOURCES if _holds(path, source)]
    if not known:
        files = ", ".join(file for source in SOURCES for file in source.files.values())
        raise UnusableData(f"{name} holds no set that is known here. One of these files should be in it: {files}")
    return [_from_folder(path, source, split) for path, source in known if _has(path, source, split)]


def _holds(folder: Path, source: Source) -> bool:
    return any(_has(folder, source, split) for split in source.files)


def _has(folder: Path, source: Source, split: Split) -> bool:
    return split in source.files and (folder / source.files[split]).is_file()


def _from_hub(name: str, split: Split) -> list[Examples]:
    source = next((source for source in SOURCES if source.hub[0] == name), None)
    if source is None:
        names = ", ".join([calls_corpus.NAME, *(source.hub[0] for source in SOURCES)])
        raise UnusableData(f"{name} is neither a folder nor a set that is known here: {names}")
    import datasets  # noqa: PLC0415 - folders are read without it.

    try:
        tables = datasets.load_dataset(*source.hub)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableData(f"{name} cannot be had from the hub ({error}). Download it and name its folder") from error
    wanted = source.hub_splits.get(split, split)
    if wanted not in tables:
        return []
    examples = convert(source, list(tables[wanted]), name)
    return [held_out(examples, split) if _is_parted(source.hub_splits, split) else examples]


def _from_folder(folder: Path, source: Source, split: Split) -> Examples:
    file = folder / source.files[split]
    examples = convert(source, _rows(file, source), str(file))
    parted = _is_parted(source.files, split)
    if split != "train" and not parted:
        return examples
    drop, ids = _to_drop(folder.parent, f"{folder.name}/{file.name}")
    keep = [at not in drop and identity not in ids for at, identity in enumerate(examples.ids)]
    kept = examples.take(np.flatnonzero(keep))
    return held_out(kept, split) if parted else kept


def _is_parted(places: Mapping[Split, str], split: Split) -> bool:
    """Say whether another split lies in the same place."""
    taken = [places.get(each, each) for each in get_args(Split)]
    return taken.count(places.get(split, split)) > 1


def _rows(file: Path, source: Source) -> Rows:
    """Read the rows of a published file; none may be left out, for others are named by their number."""
    # GoEmotions' own files have no header, nor has XED's; and their quotation marks are those of the texts.
    header = source.columns if file.suffix == ".tsv" and source.name in {"goemotions", "xed"} else ()
    table = read_csv(file, header=header, quotes=file.suffix == ".csv")
    rows: list[Cells] = []
    for where, row in table.rows:
        short = not isinstance(row, ValueError) and len(row) < len(table.columns)
        if short or isinstance(row, ValueError):
            reason = "has fewer cells than there are columns" if short else row
            raise UnusableData(f"{file}, {where}: {reason}. Give it as {source.hub[0]} has it")
        rows.append(row)
    return rows


def _to_drop(root: Path, file: str) -> tuple[set[int], set[str]]:
    """Return the file's rows to drop, and the ids of rows dropped from any file that has ids.

    A row and its translation share the id: where one is too near an evaluation row, so is the other.
    """
    listed = root / ROWS_TO_DROP
    if not listed.is_file():
        return set(), set()
    drop: dict[str, list[int]] = json.loads(listed.read_text(encoding="utf-8"))
    translated = next(source for source in SOURCES if source.name == "ru_go_emotions")
    path = f"{translated.name}/{translated.files['train']}"
    ids: set[str] = set()
    if path in drop and (root / path).is_file():
        rows = _rows(root / path, translated)
        if max(drop[path], default=0) >= len(rows):
            raise UnusableData(f"{listed} names rows that {path} does not have. Give both as they belong together")
        ids = {rows[at]["id"] for at in drop[path]}
    return set(drop.get(file, ())), ids

"""The labels as they were when a retraining took them: files that `emotion-training fit` reads, and one that judges.

Each annotator's label is a training row of its own, so that disagreement teaches what a soft target would. What
chooses and what judges has one row a text: an emotion is there where at least half of those who could give it gave it.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from schemas.emotions import EMOTIONS
from training.errors import UnusableData, UnusableOutput
from training.examples import Examples, fingerprint
from training.holdout import Side, side
from training.last_words import HOLDOUT, VALIDATION, Label, last_words, one_a_text
from training.leaks import without_leaks, write_leaks
from training.tables import read_table

REFUSED: Final = "refused.csv"
"""Rows that the leak guard refused, and why."""

_ACCOUNT: Final = "snapshot.json"
_MORE: Final = (
    "a fifth of the labelled texts does, by their hash, but those of public sets that the champion has learnt"
)


class Snapshot(NamedTuple):
    """Labels in files.

    Attributes:
        folder: of the files.
        taken_at: when, by the database's clock; ISO 8601.
        fingerprint: SHA-256 of all rows.
        teaching: rows of each source, after the leak guard.
        validation: rows.
        holdout: rows.
        refused: rows that the leak guard refused: they would teach, or choose thresholds.
        apart: labels on texts that are held out, of sources that do not judge or on texts that the champion has learnt:
            they are not used.
    """

    folder: Path
    taken_at: str
    fingerprint: str
    teaching: dict[str, int]
    validation: int
    holdout: int
    refused: int
    apart: int

    @property
    def data(self) -> tuple[str, ...]:
        """The files that `fit` reads: what teaches, and what chooses thresholds."""
        return tuple(str(self.folder / f"{name}.jsonl") for name in [*sorted(self.teaching), VALIDATION])

    def judges(self) -> Examples:
        """Return the held-out rows."""
        found = read_table(self.folder / f"{HOLDOUT}.jsonl", HOLDOUT)
        if found is None:
            raise UnusableData(f"{self.folder} has lost its held-out rows. Start the run anew")
        return found

    def account(self) -> dict[str, Any]:
        """Return all but the folder, in plain numbers and strings."""
        return {name: value for name, value in self._asdict().items() if name != "folder"}


def take(
    engine: Engine,
    folder: Path,
    *,
    judges: Callable[[str], bool],
    learnt: Collection[str],
    public: Sequence[Examples],
) -> Snapshot:
    """Write the labels into a folder, or read what an earlier try wrote there.

    Args:
        engine: of the database.
        folder: is made; it shows once it is complete.
        judges: whether a source's rows judge, and choose thresholds; see `training.retrain`.
        learnt: sources that the champion has learnt whole: their texts do not judge, whatever origin they have besides.
        public: sets that judge too; what is too near to their rows does not teach.

    Raises:
        UnusableData: there are no labels that teach, choose or judge.
        UnusableDatabase: see `training.database`.
        UnusableOutput: the folder cannot be written.
    """
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            _write(engine, unfinished, judges, learnt, public)
            unfinished.rename(folder)
        except OSError as error:
            raise UnusableOutput(
                f"{folder} cannot be written: {error}. Free the disk or name another --work"
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    snapshot = Snapshot(folder=folder, **json.loads((folder / _ACCOUNT).read_text(encoding="utf-8")))
    for name, rows in (
        ("teach", sum(snapshot.teaching.values())),
        ("choose thresholds", snapshot.validation),
        ("judge", snapshot.holdout),
    ):
        if not rows:
            raise UnusableData(f"no labels are there to {name}: {_MORE}")
    return snapshot


def _write(
    engine: Engine,
    folder: Path,
    judges: Callable[[str], bool],
    learnt: Collection[str],
    public: Sequence[Examples],
) -> None:
    taken_at, labels, known = last_words(engine, learnt)
    sides: dict[Side, list[Label]] = {"train": [], "validation": [], "holdout": []}
    for label in labels:
        if (where := side(label.text)) == "train" or (judges(label.source) and label.identity not in known):
            sides[where].append(label)
    validation, holdout = (_examples(name, one_a_text(sides[name])) for name in (VALIDATION, HOLDOUT))
    # Of two texts that are nearly one, one must not choose what the other judges.
    [validation], too_near = without_leaks([validation], [holdout])
    of_source: dict[str, list[Label]] = defaultdict(list)
    for label in sides["train"]:
        of_source[label.source].append(label)
    teaching = [_examples(name, of_source[name]) for name in sorted(of_source)]
    teaching, refused = without_leaks(teaching, [validation, holdout, *public])
    refused += too_near
    write_leaks(refused, folder / REFUSED)
    for examples in (*teaching, validation, holdout):
        _put(folder, examples)
    account = Snapshot(
        folder=folder,
        taken_at=taken_at.isoformat(),
        fingerprint=fingerprint([*teaching, validation, holdout]),
        teaching={examples.source: len(examples) for examples in teaching},
        validation=len(validation),
        holdout=len(holdout),
        refused=len(refused),
        apart=len(labels) - sum(map(len, sides.values())),
    ).account()
    (folder / _ACCOUNT).write_text(json.dumps(account, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _examples(source: str, labels: Sequence[Label]) -> Examples:
    return Examples(
        source=source,
        language="ru",
        ids=[label.identity for label in labels],
        texts=[label.text for label in labels],
        targets=_columns(np.float32, (label.emotions for label in labels)),
        annotated=_columns(np.bool_, (label.annotated for label in labels)),
    )


def _columns(kind: Any, rows: Iterable[Collection[str]]) -> NDArray[Any]:
    return np.array([[emotion in row for emotion in EMOTIONS] for row in rows], kind).reshape(-1, len(EMOTIONS))


def _put(folder: Path, examples: Examples) -> None:
    split = examples.source if examples.source in {VALIDATION, HOLDOUT} else "train"
    with (folder / f"{examples.source}.jsonl").open("w", encoding="utf-8") as lines:
        for name, text, *columns in zip(
            examples.ids, examples.texts, examples.targets, examples.annotated, strict=True
        ):
            emotions, annotated = (
                [each for each, there in zip(EMOTIONS, row, strict=True) if there] for row in columns
            )
            row = {"id": name, "text": text, "emotions": emotions, "annotated": annotated, "split": split}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")

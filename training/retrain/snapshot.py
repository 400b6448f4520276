"""The labels as they were when a retraining took them: files that `emotion-training fit` reads, and one that judges.

Each annotator's label is a training row of its own, so that disagreement teaches what a soft target would. What
chooses and what judges has one row a text: an emotion is there where at least half of those who could give it gave it.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Engine

from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.leakage import Leak, LeakListing, NearTexts
from training.data.tables import read_table
from training.errors import UnusableData, UnusableOutput
from training.evaluate.behaviour import guarded_lines
from training.labels.latest_labels import FRESH, HOLDOUT, VALIDATION, LatestLabels, LearnableLabel, one_a_text
from training.retrain.run_history import Learnt

REFUSED: Final = "refused.csv"
"""Rows that the leak guard refused, and why."""

_ACCOUNT: Final = "snapshot.json"
_DATABASE: Final = ".labels.db"
_MORE: Final = (
    "a fifth of the labelled texts does, by their hash, but those of public sets that the champion has learnt"
)

log = structlog.get_logger(__name__)


class Snapshot(NamedTuple):
    """Labels in files.

    Attributes:
        folder: the folder that holds the files.
        taken_at: when, by the database's clock; ISO 8601.
        fingerprint: SHA-256 of all rows.
        teaching: rows of each source, after the leak guard.
        validation: rows.
        holdout: rows.
        refused: rows that the leak guard refused: they would teach, or choose thresholds.
        apart: labels that are not used: on texts that are held out, where their source does not judge, the champion
            has learnt the text, or nobody knows how it was drawn; and on texts in calls of several sides.
        fresh: rows that teach or choose, and that the champion has not learnt: by turns, they judge too.
    """

    folder: Path
    taken_at: str
    fingerprint: str
    teaching: dict[str, int]
    validation: int
    holdout: int
    refused: int
    apart: int
    fresh: int = 0

    @property
    def data(self) -> tuple[str, ...]:
        """The files that `fit` reads: what teaches, and what chooses thresholds."""
        return tuple(str(self.folder / f"{name}.jsonl") for name in [*sorted(self.teaching), VALIDATION])

    def judging_rows(self) -> Examples:
        """Return the held-out rows."""
        return self._read(HOLDOUT, HOLDOUT)

    def by_turns(self) -> Examples:
        """Return the rows that teach or choose, one a text, and that the champion has not learnt."""
        return self._read(FRESH, HOLDOUT)

    def chooses(self) -> Examples:
        """Return the rows that choose thresholds and calibration."""
        return self._read(VALIDATION, VALIDATION)

    def teachers(self, sources: Iterable[str]) -> list[Examples]:
        """Return the rows of sources that teach."""
        return [self._read(source, "train") for source in sources]

    def _read(self, name: str, split: str) -> Examples:
        found = read_table(self.folder / f"{name}.jsonl", split)
        if found is None:
            raise UnusableData(f"{self.folder} has lost the rows of {name}. Start the run again")
        return found

    def account(self) -> dict[str, Any]:
        """Return all but the folder, in plain numbers and strings."""
        return {name: value for name, value in self._asdict().items() if name != "folder"}


def take(
    engine: Engine,
    folder: Path,
    *,
    judges: Callable[[str], bool],
    learnt: Learnt,
    public: Sequence[Examples],
) -> Snapshot:
    """Write the labels into a folder, or read what an earlier try wrote there.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        folder: is made; it shows once it is complete.
        judges: whether a source's rows judge, and choose thresholds; see `training.retrain.run`.
        learnt: what the champion has learnt: those texts do not judge; their origin does not matter.
        public: sets that judge too; what is too near to their rows does not teach.

    Raises:
        UnusableData: there are no labels that teach, choose or judge.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
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


def snapshot_moment(folder: Path) -> str | None:
    """Return when the snapshot in a folder was taken, in ISO 8601; None where there is none."""
    account = folder / _ACCOUNT
    return json.loads(account.read_text(encoding="utf-8"))["taken_at"] if account.is_file() else None


def _write(
    engine: Engine,
    folder: Path,
    judges: Callable[[str], bool],
    learnt: Learnt,
    public: Sequence[Examples],
) -> None:
    """Write what judges, then what chooses and is not near to it, then what teaches and is near to neither."""
    tables, database = _Tables(folder), folder / _DATABASE
    with (
        LatestLabels(engine, database, learnt.whole, learnt.texts) as labels,
        (folder / REFUSED).open("w", encoding="utf-8", newline="") as lines,
    ):
        listing, sources = LeakListing(lines), labels.sources()
        judging = list(filter(judges, sources))
        holdout = tables.put(HOLDOUT, one_a_text(labels.judging(HOLDOUT, judging)))
        choosing = one_a_text(labels.judging(VALIDATION, judging))
        near = NearTexts(tables.texts(HOLDOUT))
        validation = tables.put(VALIDATION, _without_leaks(VALIDATION, choosing, near, listing))
        others = (text for each in (*public, guarded_lines()) for text in (*each.texts, *(each.english or ())))
        near = NearTexts(chain(tables.texts(VALIDATION), tables.texts(HOLDOUT), others))
        teaching = {
            source: tables.put(source, _without_leaks(source, labels.teaching(source), near, listing))
            for source in sources
        }
        # What a network has learnt must be listed, or its labels cannot be told from new ones.
        told = not learnt.network or len(learnt.texts) > 0
        fresh = tables.put(FRESH, one_a_text(labels.fresh(judging))) if told else 0
        account = Snapshot(
            folder=folder,
            taken_at=labels.taken_at.isoformat(),
            fingerprint=tables.fingerprint(),
            teaching={source: rows for source, rows in teaching.items() if rows},
            validation=validation,
            holdout=holdout,
            refused=listing.count,
            apart=labels.apart(judging),
            fresh=fresh,
        ).account()
    database.unlink()
    log.info("rows too near evaluation rows are refused", total=listing.count)
    (folder / _ACCOUNT).write_text(json.dumps(account, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class _Tables:
    """Files with a row a label, in a folder, and the fingerprint of all that is written into them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = hashlib.sha256()

    def put(self, name: str, labels: Iterable[LearnableLabel]) -> int:
        """Write labels into a table of that name, unless there are none; return their number."""
        split = {VALIDATION: VALIDATION, HOLDOUT: HOLDOUT, FRESH: HOLDOUT}.get(name, "train")
        rows, file = 0, self._file(name)
        self._digest.update(f"{name}\n".encode())
        with file.open("wb") as table:
            for rows, label in enumerate(labels, 1):  # noqa: B007 - the last is their number.
                emotions, annotated = ([each for each in EMOTIONS if each in row] for row in label[3:5])
                row = {"id": label.identity, "text": label.text, "emotions": emotions, "annotated": annotated}
                drawn = {"session_id": label.session or label.identity, "relative_chance": label.chance or 1.0}
                # Where annotators disagree, no emotion may have half of their votes, or neutral and others may.
                decided = bool(emotions) and (len(emotions) == 1 or "neutral" not in emotions)
                undecided = {} if decided else {"undecided": True}
                line = json.dumps({**row, **drawn, "split": split, **undecided}, ensure_ascii=False).encode() + b"\n"
                self._digest.update(line)
                table.write(line)
        if not rows:
            file.unlink()
        return rows

    def texts(self, name: str) -> Iterator[str]:
        """Yield the texts of a table, none where it had no rows."""
        if (file := self._file(name)).exists():
            with file.open("rb") as lines:
                yield from (json.loads(line)["text"] for line in lines)

    def fingerprint(self) -> str:
        """Return a SHA-256 over all rows and the names of their tables."""
        return self._digest.hexdigest()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.jsonl"


def _without_leaks(
    source: str, labels: Iterable[LearnableLabel], near: NearTexts, listing: LeakListing
) -> Iterator[LearnableLabel]:
    """Yield the labels on texts that are near none of others; list those that are."""
    for row, label in enumerate(labels):
        if hit := near.nearest(label.text):
            listing.add(Leak(source, row, label.identity, label.text, hit[0], round(hit[1], 3)))
        else:
            yield label

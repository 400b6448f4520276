"""What each annotator said last of each text, as far as a model can learn it."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple, Self
from zlib import crc32

from sqlalchemy import Engine, text

from registry.postgres import database_problems
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.augment.templates import SOURCE as SYNTHETIC
from training.data.examples import PARALLEL, UNLABELLED
from training.data.known_texts import KnownTexts
from training.data.splits import Side, identity, side_of
from training.labels.table import in_order

VALIDATION: Final = "validation"
HOLDOUT: Final = "holdout"
FRESH: Final = "fresh"
_RESERVED: Final = {VALIDATION, HOLDOUT, FRESH, UNLABELLED, SYNTHETIC, PARALLEL}
_LONGEST: Final = 60

ENGLISH: Final = "goemotions"
"""The one public set that is not Russian: a champion's vocabulary has no pieces for it."""

# A row bears the time at which its transaction began, and shows when that ends. One that others may not see in
# pg_stat_activity, for want of pg_read_all_stats, is not looked at.
_TAKEN_AT: Final = text(
    "SELECT least(now(), min(xact_start) - interval '1 microsecond') FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)


# Nobody else reads the file, and after a crash it is made again; 16 MB of it are kept in memory.
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE labels (
    identity TEXT, coder TEXT, side TEXT, source TEXT, text TEXT, emotions INTEGER, annotated INTEGER,
    session TEXT, chance REAL, UNIQUE (identity, coder)
);
CREATE TABLE firsts (identity TEXT PRIMARY KEY, id INTEGER, side TEXT) WITHOUT ROWID;
CREATE TABLE known (identity TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_PUT: Final = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIRST: Final = """
INSERT INTO firsts VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET id = excluded.id, side = excluded.side WHERE excluded.id < id
"""
# A text is for what it was for when it was labelled first: models may have learnt it since.
_SEVERAL_SIDES: Final = """
UPDATE labels SET side = '' WHERE side <> (SELECT side FROM firsts WHERE firsts.identity = labels.identity)
"""
_TEACHING: Final = """
SELECT source, identity, text, emotions, annotated, session, chance FROM labels
WHERE annotated AND side = 'train' AND source = ? ORDER BY identity
"""
_JUDGING: Final = """
SELECT source, identity, text, emotions, annotated, session, chance FROM labels
WHERE annotated AND side IN (SELECT value FROM json_each(?)) AND source IN (SELECT value FROM json_each(?))
AND chance >= ? AND identity NOT IN (SELECT identity FROM known) ORDER BY identity
"""
_APART: Final = """
SELECT count(*) FROM labels WHERE annotated AND side <> 'train'
AND (source NOT IN (SELECT value FROM json_each(?)) OR identity IN (SELECT identity FROM known)
     OR side = '' OR (side = 'holdout' AND chance = 0))
"""
_POSSIBLE: Final = 1e-9
"""Below any chance that somebody knows."""

_INDEX: Final = "CREATE INDEX by_side ON labels (side, source, identity);"

_ROWS_AT_ONCE: Final = 2_000


class LearnableLabel(NamedTuple):
    """What one annotator says of one text, as far as a model can learn it.

    Attributes:
        source: the file that it goes to.
        identity: of the text, however it is spelled.
        text: as labelled.
        emotions: that it carries.
        annotated: that could have been given.
        session: the call that the text is of; empty where nobody knows it.
        chance: how likely the text was drawn, by the chance of an equal draw; 0 where nobody knows it: it cannot judge.
    """

    source: str
    identity: str
    text: str
    emotions: frozenset[str]
    annotated: frozenset[str]
    session: str = ""
    chance: float = 1.0


def source_of(origin: str) -> str:
    """Return what an origin is called among the sets: a file's name, its own where that can be one."""
    name = re.sub(r"[^\w.-]", "_", origin)[:_LONGEST] or "unknown"
    # "_a" for what became of ".a" and of "/a" would be one head for two origins.
    return name if name == origin and name not in _RESERVED else f"{name}-{crc32(origin.encode()):08x}"


def one_a_text(labels: Iterable[LearnableLabel]) -> Iterator[LearnableLabel]:
    """Yield one label for each text, however it is spelled.

    An emotion is annotated where anybody could have given it, and there where at least half of those gave it.

    Args:
        labels: those of one text one after the other.
    """
    for _, of_text in groupby(labels, key=attrgetter("identity")):
        yield _together(list(of_text))


def _together(labels: Sequence[LearnableLabel]) -> LearnableLabel:
    could = Counter(emotion for label in labels for emotion in label.annotated)
    gave = Counter(emotion for label in labels for emotion in label.emotions)
    there = frozenset(emotion for emotion, times in gave.items() if 2 * times >= could[emotion])
    chance = max(label.chance for label in labels)
    return min(labels, key=_order)._replace(emotions=there, annotated=frozenset(could), chance=chance)


def _order(label: LearnableLabel) -> tuple[object, ...]:
    """Return what a label is sorted by: all that it says, for frozensets have no order."""
    return (*label[:3], sorted(label.emotions), sorted(label.annotated), label.session, label.chance)


class LatestLabels:
    """Each annotator's last word on each text, in a file of SQLite: memory does not grow with their number.

    Labels that say nothing are left out. So are English ones.

    Args:
        engine: SQLAlchemy engine connected to the database of the labels.
        file: SQLite file to make.
        learnt: sources whose texts a model has learnt; they count as known, even where they got other labels later.
        texts: further texts that it knows, under any source.

    Attributes:
        taken_at: by the database's clock; what was being written then counts as come in later.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """

    def __init__(self, engine: Engine, file: Path, learnt: Collection[str], texts: KnownTexts) -> None:
        self._file = sqlite3.connect(file, isolation_level=None)
        self._file.executescript(_TABLES)
        with database_problems(), engine.connect() as connection:
            self.taken_at: datetime = connection.execute(_TAKEN_AT).scalar_one()
            rows = connection.execute(in_order(), execution_options={"yield_per": _ROWS_AT_ONCE})
            self._file.execute("BEGIN")
            for row in rows:
                if row.origin == ENGLISH or not normalize(row.text):
                    continue
                source, name = source_of(row.origin), identity(row.text)
                masks = _mask(row.emotions), _mask(row.annotated)
                # In their order, so that the last word takes the place of those before.
                session = row.session_id or ""
                side = side_of(name, session)
                # A table of one's own counts as drawn at random; of a transcript that somebody picked nobody knows.
                chance = row.relative_chance or float(row.transcript_id is None and row.drawn_by is None)
                self._file.execute(_PUT, (name, row.coder, side, source, row.text, *masks, session, chance))
                self._file.execute(_FIRST, (name, row.id, side))
                if source in learnt or texts.holds(name):
                    self._file.execute("INSERT OR IGNORE INTO known VALUES (?)", (name,))
            self._file.execute(_SEVERAL_SIDES)
            self._file.execute("COMMIT")
        self._file.executescript(_INDEX)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def sources(self) -> list[str]:
        """Return the sources of all labels, in alphabetical order."""
        found = self._file.execute("SELECT DISTINCT source FROM labels WHERE annotated ORDER BY source")
        return [source for (source,) in found]

    def teaching(self, source: str) -> Iterator[LearnableLabel]:
        """Yield the labels of a source on texts that teach, in an order that depends on nothing but the labels."""
        return self._labels(_TEACHING, source)

    def judging(self, side: Side, sources: Sequence[str]) -> Iterator[LearnableLabel]:
        """Yield the labels of some sources on texts of a side that no model has learnt, one text after the other.

        Where they judge, those are left out whose texts were drawn in a way that nobody knows: somebody may have picked
        them since the champion was wrong there, and they would favour any candidate.
        """
        chance = _POSSIBLE if side == HOLDOUT else 0
        return self._labels(_JUDGING, json.dumps([side]), json.dumps(sources), chance)

    def fresh(self, sources: Sequence[str]) -> Iterator[LearnableLabel]:
        """Yield the labels that do not judge and could, for no model has learnt them, one text after the other."""
        return self._labels(_JUDGING, json.dumps(["train", VALIDATION]), json.dumps(sources), _POSSIBLE)

    def apart(self, sources: Sequence[str]) -> int:
        """Count the labels on texts that do not teach and that these sources do not judge."""
        count: int = self._file.execute(_APART, (json.dumps(sources),)).fetchone()[0]
        return count

    def _labels(self, query: str, *values: str | float) -> Iterator[LearnableLabel]:
        rows = (
            LearnableLabel(source, name, words, _emotions(emotions), _emotions(annotated), *others)
            for source, name, words, emotions, annotated, *others in self._file.execute(query, values)
        )
        for _, of_text in groupby(rows, key=attrgetter("identity")):
            yield from sorted(of_text, key=_order)


def _mask(emotions: Iterable[str]) -> int:
    return sum(1 << EMOTIONS.index(emotion) for emotion in emotions)


@cache
def _emotions(mask: int) -> frozenset[str]:
    return frozenset(emotion for at, emotion in enumerate(EMOTIONS) if mask >> at & 1)

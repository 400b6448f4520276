"""What each annotator said last of each text, as far as a model can learn it."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from zlib import crc32

from sqlalchemy import Engine, text

from schemas.normalization import normalize
from training.augment.templates import SOURCE as SYNTHETIC
from training.database import database_problems
from training.examples import UNLABELLED
from training.holdout import identity
from training.labels.table import in_order
from training.lessons import FINE_HEAD

VALIDATION: Final = "validation"
HOLDOUT: Final = "holdout"
_RESERVED: Final = {VALIDATION, HOLDOUT, UNLABELLED, SYNTHETIC, FINE_HEAD, "served"}
_LONGEST: Final = 60

ENGLISH: Final = "goemotions"
"""The one public set that is not Russian: a champion's vocabulary has no pieces for it."""

# A row bears the time at which its transaction began, and shows when that ends. One that others may not see in
# pg_stat_activity, for want of pg_read_all_stats, is not looked at.
_TAKEN_AT: Final = text(
    "SELECT least(now(), min(xact_start) - interval '1 microsecond') FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)


class Label(NamedTuple):
    """What one annotator says of one text, as far as a model can learn it; `source` names the file it goes to."""

    source: str
    identity: str
    text: str
    emotions: frozenset[str]
    annotated: frozenset[str]


def source_of(origin: str) -> str:
    """Return what an origin is called among the sets: a file's name, its own where that can be one."""
    name = re.sub(r"[^\w.-]", "_", origin)[:_LONGEST] or "unknown"
    # "_a" for what became of ".a" and of "/a" would be one head for two origins.
    return name if name == origin and name not in _RESERVED else f"{name}-{crc32(origin.encode()):08x}"


def one_a_text(labels: Iterable[Label]) -> list[Label]:
    """Return one label for each text, however it is spelled, in the order of their identities.

    An emotion is annotated where anybody could have given it, and there where at least half of those gave it.
    """
    of_text: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        of_text[label.identity].append(label)
    return [_together(of_text[name]) for name in sorted(of_text)]


def _together(labels: Sequence[Label]) -> Label:
    could = Counter(emotion for label in labels for emotion in label.annotated)
    gave = Counter(emotion for label in labels for emotion in label.emotions)
    there = frozenset(emotion for emotion, times in gave.items() if 2 * times >= could[emotion])
    return min(labels)._replace(emotions=there, annotated=frozenset(could))


def last_words(engine: Engine, learnt: Collection[str]) -> tuple[datetime, list[Label], set[str]]:
    """Return when they were taken, the labels in an order that depends on nothing else, and what `learnt` sources hold.

    The labels are each annotator's last word on a text, where it says anything; the texts of the sources are told by
    their identities, whatever was said of them later. What was being written meanwhile counts as come in later.
    """
    last: dict[tuple[str, str], Label] = {}
    known = set()
    with database_problems(), engine.connect() as connection:
        taken_at: datetime = connection.execute(_TAKEN_AT).scalar_one()
        for row in connection.execute(in_order()):
            if row.origin == ENGLISH or not normalize(row.text):
                continue
            label = Label(
                source_of(row.origin), identity(row.text), row.text, frozenset(row.emotions), frozenset(row.annotated)
            )
            last[label.identity, row.coder] = label
            if label.source in learnt:
                known.add(label.identity)
    found = [label for label in last.values() if label.annotated]
    # By all they say: frozensets have no order.
    found.sort(key=lambda label: (*label[:3], sorted(label.emotions), sorted(label.annotated)))
    return taken_at, found, known

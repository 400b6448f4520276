"""Emotions over time: the share of the utterances that carry each, by role and source."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from schemas.emotions import EMOTIONS
from worker.report.model import Course, RoleCourse
from worker.report.rows import Row

SHOWN: Final = EMOTIONS[:-1]
"""Neutral is what is left, so its course says nothing more."""

_ROLES: Final = ("customer", "agent", "unknown")
_MOST_SOURCES: Final = 12
OTHERS: Final = "all others"

_LONGEST: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


def moments_of(rows: Iterable[Row], step: str) -> tuple[datetime, ...]:
    """Return the moments from the first to the last, also those at which nothing was said."""
    found = sorted({row["moment"] for row in rows})
    if not found or step not in _LONGEST:
        return tuple(found)
    moments = [found[0]]
    while moments[-1] < found[-1]:
        moments.append(moments[-1] + _LONGEST[step])
    return tuple(moments)


def role_courses(rows: Iterable[Row], moments: Sequence[datetime]) -> tuple[RoleCourse, ...]:
    """Return the courses of each role, of all sources together and of those with most utterances."""
    by_role: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_role[row["role"]].append(row)
    return tuple(_of_role(role, by_role[role], moments) for role in _ROLES if by_role[role])


def _of_role(role: str, rows: list[Row], moments: Sequence[datetime]) -> RoleCourse:
    texts: Counter[str] = Counter()
    for row in rows:
        texts[row["source"]] += row["scored"]
    largest = {source for source, _ in texts.most_common(_MOST_SOURCES)}
    by_source: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_source[row["source"] if row["source"] in largest else OTHERS].append(row)
    order = sorted(by_source, key=lambda source: (source == OTHERS, -texts[source], source))
    return RoleCourse(role, _course(rows, moments), {source: _course(by_source[source], moments) for source in order})


def _course(rows: Iterable[Row], moments: Sequence[datetime]) -> Course:
    texts: Counter[datetime] = Counter()
    counts: Counter[tuple[str, datetime]] = Counter()
    for row in rows:
        texts[row["moment"]] += row["scored"]
        for emotion in SHOWN:
            counts[emotion, row["moment"]] += row[emotion]
    return Course(
        texts=texts.total(),
        counts={emotion: sum(counts[emotion, moment] for moment in texts) for emotion in SHOWN},
        shares={
            emotion: tuple(counts[emotion, moment] / texts[moment] if texts[moment] else None for moment in moments)
            for emotion in SHOWN
        },
    )

"""From rows to a report: calls are counted as they come, and turns are read only of the calls that are shown."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from markupsafe import escape

from schemas.emotions import EMOTIONS
from worker.report import questions
from worker.report.courses import moments_of, role_courses
from worker.report.intervals import Share
from worker.report.marks import read_turns
from worker.report.model import Call, Change, Group, Model, Period, Report, ShownCall, Turn
from worker.report.rows import Row, Rows
from worker.report.score import DISTRESS

_MOST_TURNS: Final = 100
"""Turns of a call that are shown: the first and the last ones of a longer call."""

_MOST_BYTES: Final = 4_700_000
"""Room that all calls of a page share; with the rest of it, a page has 5 MB at most."""

_CALL_BYTES, _TURN_BYTES = 1_100, 320
"""What a call and a turn take besides the texts, where a turn carries two emotions."""

_STEPS: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_MOST_MOMENTS: Final = 72
"""Moments of a course; where there would be more, its steps are longer."""


class Wish(NamedTuple):
    """What the page shall show.

    Attributes:
        period: time to look at.
        calls: calls of each list that are shown with their turns.
        with_texts: whether texts are shown.
    """

    period: Period
    calls: int
    with_texts: bool


class _Tally:
    """Counts of calls."""

    def __init__(self) -> None:
        self.calls = self.heard = 0
        self.wrong: Counter[tuple[str, str]] = Counter()
        self.turned: Counter[tuple[str, str]] = Counter()
        self.of: Counter[tuple[str, str]] = Counter()
        self.emotions: Counter[str] = Counter()

    def add(self, call: Call | None) -> None:
        """Count a call; one without scores of a customer says nothing more."""
        self.calls += 1
        if call is None:
            return
        self.heard += 1
        self.emotions.update(call.emotions)
        for key in (("all", ""), ("source", call.source), *([("agent", call.agent)] if call.agent else [])):
            self.of[key] += 1
            self.wrong[key] += call.went_wrong
            self.turned[key] += call.turned_round

    def share(self, counts: Counter[tuple[str, str]], kind: str = "all", name: str = "") -> Share:
        """Return a share of the calls, or of a group's."""
        return Share(counts[kind, name], self.of[kind, name])

    def groups(self, kind: str) -> tuple[Group, ...]:
        """Return the groups of a kind, the surest of many calls gone wrong first."""
        names = [name for each, name in self.of if each == kind]
        found = [Group(name, self.share(self.wrong, kind, name), self.turned[kind, name]) for name in names]
        return tuple(sorted(found, key=lambda group: (-group.wrong.interval[0], -group.wrong.of, group.name)))


def build_report(rows: Rows, wish: Wish) -> Report:
    """Return the report, without marks.

    Args:
        rows: where the rows are.
        wish: what the page shall show.
    """
    when, values = _condition(wish.period)
    outcomes = list(rows.ask(questions.outcomes(when), **values))
    first, last = _ends(outcomes)
    tally = _Tally()
    worst, relieved = _count_calls(_calls(rows, wish.period), tally, wish.calls)
    step = _step(first, last)
    courses = list(rows.ask(questions.moments(when), step=step, **values))
    moments = moments_of(courses, step)
    before = _Tally()
    if wish.period.before:
        _count_calls(_calls(rows, wish.period.before), before, 0)
    turns = _turns(rows, wish.period, dict.fromkeys([*worst, *relieved]))
    room = _MOST_BYTES // max(1, len(worst) + len(relieved))
    return Report(
        origin=rows.origin,
        period=wish.period,
        first=first,
        last=last,
        models=_models(outcomes),
        texts=_counted(outcomes, "outcome"),
        calls=tally.calls,
        heard=tally.heard,
        wrong=tally.share(tally.wrong),
        turned=tally.share(tally.turned),
        worst=tuple(_shown(call, turns, wish, room) for call in worst),
        relieved=tuple(_shown(call, turns, wish, room) for call in relieved),
        step=step,
        moments=moments,
        courses=role_courses(courses, moments),
        sources=tally.groups("source"),
        agents=tally.groups("agent"),
        changes=_changes(tally, before),
        calls_before=before.heard,
        marking=None,
        with_texts=wish.with_texts,
    )


def _condition(period: Period) -> tuple[str, dict[str, Any]]:
    if period.since is None:
        return questions.ALWAYS, {}
    return questions.PERIOD, {"since": period.since, "until": period.until}


def _ends(outcomes: list[Row]) -> tuple[datetime | None, datetime | None]:
    firsts = [row["first"] for row in outcomes if row["first"]]
    lasts = [row["last"] for row in outcomes if row["last"]]
    return min(firsts, default=None), max(lasts, default=None)


def _step(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return "day"
    return next((name for name, step in _STEPS.items() if (last - first) / step <= _MOST_MOMENTS), "month")


def _counted(outcomes: list[Row], column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in outcomes:
        counts[row[column]] += row["texts"]
    return counts


def _models(outcomes: list[Row]) -> tuple[Model, ...]:
    scored = [row for row in outcomes if row["outcome"] == "scored"]
    return tuple(Model(row["model_version"], row["convention"], row["texts"]) for row in scored)


def _calls(rows: Rows, period: Period) -> Iterator[Call | None]:
    when, values = _condition(period)
    return map(_call, rows.ask(questions.calls(when), **values))


def _call(row: Row) -> Call | None:
    """Return a call, or None where no customer has scores in it."""
    if row["severity"] is None:
        return None
    peak = max(DISTRESS, key=lambda emotion: float(row[f"peak_{emotion}"]))
    return Call(
        source=row["source"],
        name=row["call"],
        agent=row["agent"],
        turns=row["turns"],
        started=row["started"],
        ended=row["ended"],
        customer_turns=row["customer_turns"],
        severity=row["severity"],
        distressed=row["distressed"],
        ending=row["ending"],
        earlier=row["earlier"],
        peak=(peak, row[f"peak_{peak}"]),
        emotions=frozenset(emotion for emotion in EMOTIONS if row[f"has_{emotion}"]),
    )


def _count_calls(calls: Iterable[Call | None], tally: _Tally, most: int) -> tuple[list[Call], list[Call]]:
    """Count calls as they come, and return the worst ones and those that turned round most."""
    kept: defaultdict[str, list[tuple[float, int, Call]]] = defaultdict(list)
    for number, call in enumerate(calls):
        tally.add(call)
        if call is None or not most:
            continue
        # The number decides between equals, so that two readings give one order.
        for name, wanted, value in (
            ("worst", call.went_wrong, call.score),
            ("relieved", call.turned_round, call.relief),
        ):
            if wanted:
                keep = heapq.heappush if len(kept[name]) < most else heapq.heappushpop
                keep(kept[name], (round(value, 4), -number, call))
    worst, relieved = ([call for *_, call in sorted(kept[name], reverse=True)] for name in ("worst", "relieved"))
    return worst, relieved


def _turns(rows: Rows, period: Period, calls: Collection[Call]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of calls, by source and name."""
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    if calls:
        when, values = _condition(period)
        names = {f"source_{at}": call.source for at, call in enumerate(calls)}
        names |= {f"call_{at}": call.name for at, call in enumerate(calls)}
        for row in rows.ask(questions.turns(when, len(calls)), **values, **names):
            found[row["source"], row["call"]].append(row)
    return found


def _shown(call: Call, rows: Mapping[tuple[str, str], list[Row]], wish: Wish, room: int) -> ShownCall:
    turns = read_turns(rows[call.source, call.name], wish.with_texts)
    most = _fitting(turns, room)
    first, last = turns[: most // 2], turns[len(turns) - (most - most // 2) :]
    return ShownCall(call, tuple(first + last), len(turns) - most)


def _fitting(turns: Sequence[Turn], room: int) -> int:
    """Return how many turns of a call, first and last ones by turns, fit into as many bytes of a page."""
    left = room - _CALL_BYTES
    for shown in range(min(len(turns), _MOST_TURNS)):
        turn = turns[shown // 2 if shown % 2 else -1 - shown // 2]
        left -= _TURN_BYTES + sum(len(escape(piece.text).encode()) for piece in turn.pieces)
        if left < 0:
            return shown
    return min(len(turns), _MOST_TURNS)


def _changes(now: _Tally, before: _Tally) -> tuple[Change, ...]:
    """Return what changed against the period before, the surest first."""
    if not before.heard or not now.heard:
        return ()
    found = [
        Change("calls that went wrong", now.share(now.wrong), before.share(before.wrong)),
        Change("calls that turned round", now.share(now.turned), before.share(before.turned)),
        *(
            Change(emotion, Share(now.emotions[emotion], now.heard), Share(before.emotions[emotion], before.heard))
            for emotion in EMOTIONS[:-1]
        ),
    ]
    return tuple(sorted(found, key=lambda change: (not change.sure, -abs(change.now.value - change.before.value))))

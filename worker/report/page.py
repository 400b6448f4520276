"""A report as a page: what is drawn, and how numbers and moments are written."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import ceil
from typing import Final

from pages.colours import COLOURS
from pages.render import render
from worker.report import score
from worker.report.courses import SHOWN
from worker.report.intervals import Share
from worker.report.model import Call, Change, Report, RoleCourse, ShownCall, Turn

_MOST_GROUPS: Final = 20
"""Rows of a table of sources or agents."""

_NARROW: Final = "\u202f"
_LEAST_TOP: Final = 0.1
"""End of the axis of shares where all are small."""

_OUTCOMES: Final = {"empty": "empty", "language": "in another language"}


def page(report: Report) -> str:
    """Return the page."""
    return render(
        "worker/report/report.html.jinja",
        report=report,
        emotions=SHOWN,
        colours=COLOURS,
        score=score,
        most_groups=_MOST_GROUPS,
        unscored=_unscored(report),
        strongest=_strongest(report),
        against=_against,
        verdict=verdict,
        call_line=call_line,
        course_line=course_line,
        dots=dots,
        top_of=top_of,
        percent=percent,
        interval=interval,
        points=points,
        date=date,
        clock=clock,
        span=span,
        lasted=lasted,
        plural=plural,
        number=number,
    ).lstrip()


def percent(share: float) -> str:
    """Write a share, with a decimal where it is small."""
    value = 100 * share
    return f"{value:.1f}{_NARROW}%" if 0 < value < 1 else f"{value:.0f}{_NARROW}%"


def interval(low: float, high: float) -> str:
    """Write an interval of shares."""
    return f"{100 * low:.0f}–{100 * high:.0f}{_NARROW}%"


def points(change: float) -> str:
    """Write a change of a share."""
    return f"{round(100 * change):+d}".replace("-", "−")


def number(value: int) -> str:
    """Write a number with narrow spaces between thousands."""
    return f"{value:,}".replace(",", _NARROW)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def date(moment: datetime | None) -> str:
    """Write a day."""
    return f"{moment.day} {moment:%b %Y}" if moment else "at an unknown time"


def clock(moment: datetime | None) -> str:
    """Write a day with the time."""
    return f"{moment.day} {moment:%b %Y, %H:%M}" if moment else "at an unknown time"


def span(first: datetime | None, last: datetime | None) -> str:
    """Write a period, the shorter the nearer its ends."""
    if first is None or last is None:
        return "no times are known"
    if first.date() == last.date():
        return f"{date(first)}, {first:%H:%M}–{last:%H:%M} UTC"
    return f"{date(first)} – {date(last)}, UTC"


def lasted(call: Call) -> str:
    """Write how long a call was, where it is known."""
    if call.started is None or call.ended is None:
        return ""
    minutes = (call.ended - call.started).total_seconds() / 60
    return f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"


def call_line(turns: Sequence[Turn], role: str, width: float, height: float) -> str:
    """Draw the distress of one side of a call over its turns, as the path of an SVG; an agent is one side."""
    side = [(at, turn.distress) for at, turn in enumerate(turns) if (turn.role == "agent") == (role == "agent")]
    step = width / max(1, len(turns) - 1)
    return _path((at * step, height * (1 - distress)) for at, distress in side if distress is not None)


def dots(shown: ShownCall, width: float, height: float) -> list[tuple[str, float, float]]:
    """Return the emotion and the place of each turn that carries one."""
    step = width / max(1, len(shown.turns) - 1)
    return [
        (turn.strongest[0], at * step, height * (1 - turn.distress))
        for at, turn in enumerate(shown.turns)
        if turn.strongest and turn.distress is not None
    ]


def course_line(shares: Sequence[float | None], top: float, width: float, height: float) -> str:
    """Draw shares over time as the path of an SVG; it passes over moments at which nothing was said."""
    step = width / max(1, len(shares) - 1)
    return _path((at * step, height * (1 - share / top)) for at, share in enumerate(shares) if share is not None)


def _path(points_: Iterable[tuple[float, float]]) -> str:
    """Return a line through points; a point alone becomes a dot, by its round ends."""
    steps = " ".join(f"{x:.5g},{y:.4g}" for x, y in points_)
    return f"M{steps}h0" if steps and " " not in steps else f"M{steps}" if steps else ""


def top_of(role: RoleCourse) -> float:
    """Return the end of the axis for the courses of a role: a full tenth above all shares of all sources together."""
    highest = max((share or 0.0 for shares in role.whole.shares.values() for share in shares), default=0.0)
    return max(_LEAST_TOP, ceil(10 * highest) / 10)


def _unscored(report: Report) -> tuple[Share, str]:
    """Return the share of texts without scores, and why they have none."""
    reasons = {name: count for name, count in report.texts.items() if name != "scored"}
    said = ", ".join(f"{number(count)} {_OUTCOMES.get(name, name)}" for name, count in reasons.items())
    return Share(sum(reasons.values()), sum(report.texts.values())), said


def _strongest(report: Report) -> tuple[str, Share] | None:
    """Return the emotion of distress that customers' utterances carry most often."""
    courses = [role.whole for role in report.courses if role.role != "agent"]
    counts = {emotion: sum(course.counts[emotion] for course in courses) for emotion in score.DISTRESS}
    found = max(counts, key=lambda emotion: counts[emotion])
    texts = sum(course.texts for course in courses)
    return (found, Share(counts[found], texts)) if counts[found] else None


def _against(share: Share, whole: Share) -> str:
    """Say whether a group differs from all calls together."""
    low, high = share.interval
    return "more than all" if low > whole.value else "fewer than all" if high < whole.value else "cannot tell apart"


def verdict(change: Change) -> str:
    """Say whether a change is beyond chance."""
    if not change.sure:
        return "may be chance"
    return "more" if change.now.value > change.before.value else "fewer"

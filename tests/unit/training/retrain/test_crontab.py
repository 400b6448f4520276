"""The dates of a cron expression are those of Debian's cron, also when the clocks change; a wrong one is one line."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from commands import told_error
from hypothesis import example, given
from hypothesis import strategies as st

from training.cli import main
from training.errors import UnusableRecipe
from training.retrain.crontab import crontab

SUNDAY = datetime(2026, 11, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When the clocks of Berlin go from two to three, and from three back to two."""


def dates(expression: str, moment: datetime, timezone: str = "UTC") -> Iterator[datetime]:
    date_after = crontab(expression, timezone)
    while True:
        yield (moment := date_after(moment)).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * 1", ["Mon 02 03:00", "Mon 09 03:00", "Mon 16 03:00", "Mon 23 03:00"]),
        ("0 3 * * mon", ["Mon 02 03:00", "Mon 09 03:00", "Mon 16 03:00", "Mon 23 03:00"]),
        ("0 3 * * 0", ["Sun 08 03:00", "Sun 15 03:00", "Sun 22 03:00", "Sun 29 03:00"]),
        ("0 3 * * 7", ["Sun 08 03:00", "Sun 15 03:00", "Sun 22 03:00", "Sun 29 03:00"]),
        ("0 3 * * 5-7", ["Fri 06 03:00", "Sat 07 03:00", "Sun 08 03:00", "Fri 13 03:00"]),
        ("0 3 * * 0-6/3", ["Wed 04 03:00", "Sat 07 03:00", "Sun 08 03:00", "Wed 11 03:00"]),
        ("0 3 * * 2,fri", ["Tue 03 03:00", "Fri 06 03:00", "Tue 10 03:00", "Fri 13 03:00"]),
        ("0 3 * * */2", ["Tue 03 03:00", "Thu 05 03:00", "Sat 07 03:00", "Sun 08 03:00"]),
        ("30 */12 * * *", ["Sun 01 12:30", "Mon 02 00:30", "Mon 02 12:30", "Tue 03 00:30"]),
        ("0 3 5 * 1", ["Mon 02 03:00", "Thu 05 03:00", "Mon 09 03:00", "Mon 16 03:00"]),
        ("0 3 1-7 * */7", ["Sun 06 03:00", "Sun 03 03:00", "Sun 07 03:00", "Sun 07 03:00"]),
        ("0 3 5 * *", ["Thu 05 03:00", "Sat 05 03:00", "Tue 05 03:00", "Fri 05 03:00"]),
        ("@weekly", ["Sun 08 00:00", "Sun 15 00:00", "Sun 22 00:00", "Sun 29 00:00"]),
        ("@Daily", ["Mon 02 00:00", "Tue 03 00:00", "Wed 04 00:00", "Thu 05 00:00"]),
        ("@hourly", ["Sun 01 13:00", "Sun 01 14:00", "Sun 01 15:00", "Sun 01 16:00"]),
        ("@monthly", ["Tue 01 00:00", "Fri 01 00:00", "Mon 01 00:00", "Mon 01 00:00"]),
    ],
)
def test_dates_are_those_of_cron(expression: str, expected: list[str]) -> None:
    assert [f"{date:%a %d %H:%M}" for date in islice(dates(expression, SUNDAY), 4)] == expected


def test_dates_are_those_of_the_time_zone() -> None:
    assert crontab("0 3 * * 1", "Europe/Moscow")(SUNDAY) == datetime(2026, 11, 2, 0, tzinfo=UTC)


def items(first: int, last: int) -> st.SearchStrategy[str]:
    """Write an element of a field in one of the forms that crontab(5) knows."""
    number, step = st.integers(first, last), st.integers(1, last)
    pair = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        step.map(lambda by: f"*/{by}"),
        st.tuples(pair.filter(lambda ends: ends[0] < ends[1]), step).map(lambda it: f"{it[0][0]}-{it[0][1]}/{it[1]}"),
    )


BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
expressions = st.tuples(*(st.lists(items(*ends), min_size=1, max_size=2).map(",".join) for ends in BOUNDS)).map(
    " ".join
)


def numbers(field: str, first: int, last: int) -> set[int]:
    """Return the numbers that a field names: crontab(5), word for word."""
    found: set[int] = set()
    for element in field.split(","):
        span, _, step = element.partition("/")
        low, _, high = span.partition("-")
        ends = (first, last) if span == "*" else (int(low), int(high or low))
        found |= set(range(ends[0], ends[1] + 1, int(step or 1)))
    return found


class Cron:
    """Cron as its manual has it: asks of each minute whether a job is due."""

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        self._minutes, self._hours, self._days, self._months, weekdays = (
            numbers(field, *ends) for field, ends in zip(fields, BOUNDS, strict=True)
        )
        self._weekdays = {day % 7 for day in weekdays}
        # "If both fields are restricted (i.e., do not contain the "*" character)": Debian asks how they begin.
        self._either = not fields[2].startswith("*") and not fields[4].startswith("*")
        self.follows_the_clock = fields[0].startswith("*") or fields[1].startswith("*")

    def is_due(self, wall: datetime) -> bool:
        day, weekday = wall.day in self._days, wall.isoweekday() % 7 in self._weekdays
        on_the_day = day or weekday if self._either else day and weekday
        return wall.minute in self._minutes and wall.hour in self._hours and wall.month in self._months and on_the_day

    def runs(self, begin: datetime, end: datetime) -> list[datetime]:
        """Return when the job runs in Berlin after `begin` and before `end`."""
        minutes = [begin + timedelta(minutes=at) for at in range(1, int((end - begin).total_seconds() // 60))]
        found, seen = [], begin.astimezone(BERLIN).replace(tzinfo=None)
        for minute in minutes:
            wall = minute.astimezone(BERLIN).replace(tzinfo=None)
            if self.follows_the_clock:
                if self.is_due(wall):
                    found.append(minute)
                continue
            # A job at a fixed time: what the clock skipped is due at once, and what it repeats is over.
            while seen < wall:
                seen += timedelta(minutes=1)
                if self.is_due(seen) and minute not in found:
                    found.append(minute)
        return found


@given(expression=expressions, day=st.integers(0, 1_400))
def test_dates_are_those_of_the_manual(expression: str, day: int) -> None:
    begin = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    end = begin + timedelta(days=20)
    cron = Cron(expression)
    days = [begin.replace(hour=0) + timedelta(days=at) for at in range(21)]
    due = [
        moment
        for midnight in days
        for minute in range(24 * 60)
        if cron.is_due(moment := midnight + timedelta(minutes=minute)) and begin < moment < end
    ]
    try:
        found = list(islice((date for date in dates(expression, begin) if date < end), len(due[:50])))
    except UnusableRecipe:
        assert not due
    else:
        assert found == due[:50]


@given(expression=expressions, change=st.sampled_from([SPRING, AUTUMN]))
@example(expression="30 2 * * *", change=SPRING)
@example(expression="30 2 * * *", change=AUTUMN)
@example(expression="0,30 2 * * *", change=SPRING)
@example(expression="30 */1 * * *", change=AUTUMN)
def test_when_the_clocks_change_a_job_at_a_fixed_time_runs_once_as_in_crons_manual(
    expression: str, change: datetime
) -> None:
    begin, end = change - timedelta(hours=30), change + timedelta(hours=30)
    due = Cron(expression).runs(begin, end)[:100]
    try:
        assert list(islice(dates(expression, begin, "Europe/Berlin"), len(due))) == due
    except UnusableRecipe:
        assert not due


@pytest.mark.parametrize(("change", "expected"), [(SPRING, SPRING), (AUTUMN, AUTUMN - timedelta(minutes=30))])
def test_half_past_two_comes_once_on_the_day_of_the_change(change: datetime, expected: datetime) -> None:
    begin = change - timedelta(hours=12)
    assert next(dates("30 2 * * *", begin, "Europe/Berlin")) == expected
    # A schedule that starts just after the run, in autumn in the second of the two hours, waits for the next day.
    second = next(dates("30 2 * * *", change + timedelta(minutes=10), "Europe/Berlin"))
    assert f"{second.astimezone(BERLIN):%d %H:%M}" == f"{change.day + 1} 02:30"


@pytest.mark.parametrize(
    ("expression", "timezone", "complaint"),
    [
        ("weekly", "UTC", "'weekly' is no cron expression: it has 1 of 5 fields. Say minute"),
        ("0 0 3 * * 1", "UTC", "'0 0 3 * * 1' is no cron expression: it has 6 of 5 fields"),
        ("@reboot", "UTC", "'@reboot' is no cron expression"),
        ("61 * * * *", "UTC", "'61 * * * *' is no cron expression: Bad minute"),
        ("0 3 * * 8", "UTC", "no cron expression: Bad day-of-week"),
        ("0 3 * * 5-2", "UTC", "no cron expression"),
        ("0 3 * * 1", "Mars/Olympus", "there is no time zone Mars/Olympus"),
        ("0 3 * * 1", "Europe", "there is no time zone Europe"),
        ("0 3 * * 1", "../etc/passwd", "there is no time zone ../etc/passwd"),
        ("0 3 30 2 *", "UTC", "no cron expression: Bad day-of-month"),
        ("0 3 30 2 */8", "UTC", "no cron expression: Bad day-of-month"),
    ],
)
def test_an_expression_that_cannot_be_right_is_one_line(expression: str, timezone: str, complaint: str) -> None:
    with pytest.raises(UnusableRecipe, match=r"^[^\n]+$") as refused:
        crontab(expression, timezone)
    assert complaint in str(refused.value)


def test_the_command_says_so_and_ends_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schedule", "--cron", "sometimes"])
    assert ended.value.code == 2
    assert told_error(capsys.readouterr().err).startswith("'sometimes' is no cron expression")

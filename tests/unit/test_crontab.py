"""The dates of a cron expression are those of cron, and a wrong one is one line."""

from datetime import UTC, datetime

import pytest

from training.cli import main
from training.schedule import UnusableSchedule, crontab

SUNDAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def days(expression: str, count: int = 4, timezone: str = "UTC") -> list[str]:
    trigger, moment, found = crontab(expression, timezone), SUNDAY, []
    for _ in range(count):
        moment = trigger.get_next_fire_time(moment, moment)
        found.append(f"{moment:%a %d %H:%M}")
    return found


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
        ("30 */12 * * *", ["Sun 01 12:30", "Mon 02 00:30", "Mon 02 12:30", "Tue 03 00:30"]),
        ("0 3 5 * 1", ["Mon 02 03:00", "Thu 05 03:00", "Mon 09 03:00", "Mon 16 03:00"]),
        ("0 3 5 * *", ["Thu 05 03:00", "Sat 05 03:00", "Tue 05 03:00", "Fri 05 03:00"]),
    ],
)
def test_dates_are_those_of_cron(expression: str, expected: list[str]) -> None:
    assert days(expression) == expected


def test_dates_are_those_of_the_time_zone() -> None:
    moment = crontab("0 3 * * 1", "Europe/Moscow").get_next_fire_time(None, SUNDAY)
    assert moment.astimezone(UTC) == datetime(2026, 11, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "timezone", "complaint"),
    [
        ("weekly", "UTC", "'weekly' is no cron expression: Wrong number of fields; got 1, expected 5. Say minute"),
        ("61 * * * *", "UTC", "higher than the maximum value"),
        ("0 3 * * 8", "UTC", "no cron expression"),
        ("0 3 * * 5-2", "UTC", "no cron expression"),
        ("0 3 * * 1", "Mars/Olympus", "there is no time zone Mars/Olympus"),
        ("0 3 30 2 *", "UTC", "never comes"),
    ],
)
def test_an_expression_that_cannot_be_right_is_one_line(expression: str, timezone: str, complaint: str) -> None:
    with pytest.raises(UnusableSchedule, match=r"^[^\n]+$") as refused:
        crontab(expression, timezone)
    assert complaint in str(refused.value)


def test_the_command_says_so_and_ends_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schedule", "--cron", "sometimes"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("emotion-training: 'sometimes' is no cron expression")

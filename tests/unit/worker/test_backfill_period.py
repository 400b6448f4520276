"""Which periods can be read again, and how fast."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.backfill import Period, backfill
from worker.errors import ConfigurationError
from worker.kafka.stretch import Pace
from worker.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "why"),
    [
        (Period(NOON, NOON), "nothing lies between them"),
        (Period(NOON, datetime.now(UTC) + timedelta(days=1)), "lies in the future"),
    ],
)
def test_a_period_that_is_empty_or_not_over_yet_is_refused(period: Period, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        backfill(Settings(), period, rate=1)


def test_a_period_has_one_name_in_every_time_zone() -> None:
    later = NOON + timedelta(minutes=90)
    moscow = Period(*(moment.astimezone(timezone(timedelta(hours=3))) for moment in (NOON, later)))
    assert moscow.name == Period(NOON, later).name == "2026-03-02T12:00:00.2026-03-02T13:30:00"


@pytest.mark.parametrize("rate", [0.5, 7, 300])
def test_no_more_than_the_rate_is_read_whenever_it_is_asked(rate: float) -> None:
    now = 0.0
    pace = Pace(rate, clock=lambda: now)
    read = 0
    for step in (0.01, 0.1, 0.5, 3.0) * 100:
        now += step
        allowed = pace.allowed()
        assert allowed <= max(1, rate * 0.1), "a pause is not made up for at once"
        pace.take(allowed)
        read += allowed
        assert read <= rate * now
    assert read > 0

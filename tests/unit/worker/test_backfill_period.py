"""Which periods can be read again, and how fast."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cyclopts import ValidationError

from worker.backfill import Period, backfill
from worker.cli import app
from worker.errors import ConfigurationError
from worker.kafka.consumer import KafkaSource, Polled
from worker.kafka.stretch import Pace, StretchSource, Wanted
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


def test_a_period_may_begin_before_the_first_time_that_kafka_knows() -> None:
    assert Period(datetime(1, 1, 1, tzinfo=UTC), NOON).milliseconds == (0, NOON.timestamp() * 1000)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_is_a_number_above_zero(rate: str) -> None:
    period = ["--from", "2026-03-01", "--to", "2026-03-02"]
    with pytest.raises(ValidationError, match="--rate"):
        app.parse_args(["backfill", *period, "--rate", rate], exit_on_error=False, print_error=False)


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


@pytest.mark.parametrize(("rate", "asked"), [(1e-6, (0, True)), (1e12, (64, False))])
def test_nothing_is_fetched_until_the_rate_allows_it(
    rate: float, asked: tuple[int, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = []

    def poll(_: Any, max_records: int, __: float, *, paused: bool) -> Polled:
        polls.append((max_records, paused))
        return Polled({}, [], {})

    monkeypatch.setattr(KafkaSource, "__init__", lambda *_: None)
    monkeypatch.setattr(KafkaSource, "poll", poll)
    monkeypatch.setattr(StretchSource, "_find_all", lambda _: {})
    StretchSource(Settings(), Wanted(0, 1, rate)).poll(64, 0, paused=False)
    assert polls == [asked]

"""How a year's error is spent over looks."""

from datetime import UTC, datetime, timedelta

import pytest

from training.evaluate.error_budget import AGAIN, SHOWN, Look, error_of_look, rows_needed, typical_gain

MONDAY = datetime(2026, 1, 5, 3, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.mark.parametrize("rows", [60, 700, 5_000])
def test_all_looks_of_any_year_spend_no_more_than_its_budget(rows: int) -> None:
    looks: list[Look] = []
    for week in range(160):
        now = MONDAY + week * WEEK
        looks.append(Look(week, now, error_of_look(0.05, looks, now, rows), rows, "first"))
    for start in range(100):
        year = [look.error for look in looks if start * WEEK <= look.at - MONDAY < start * WEEK + timedelta(days=365)]
        assert 0 < sum(year) <= 0.05


def test_few_labels_spend_little_and_leave_the_rest_to_more() -> None:
    assert error_of_look(0.05, [], MONDAY, 300) == pytest.approx(0.0075)
    assert error_of_look(0.05, [], MONDAY, 1_000) == error_of_look(0.05, [], MONDAY, 9_000) == 0.025
    spent = [Look(1, MONDAY, 0.03, 500, "first")]
    assert error_of_look(0.05, spent, MONDAY + WEEK, 1_000) == pytest.approx(0.01)
    assert error_of_look(0.05, spent, MONDAY + timedelta(days=365), 1_000) == 0.025


def test_another_try_against_one_champion_waits_for_more_labels_to_judge() -> None:
    looks = [Look(1, MONDAY, 0.01, 400, "first"), Look(2, MONDAY, 0.01, 900, "second")]
    assert rows_needed(looks, "first") == 400 * AGAIN
    assert rows_needed(looks, "third") == 0


def test_more_labels_show_smaller_gains() -> None:
    gains = [typical_gain(0.05, rows) for rows in SHOWN]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 0.04
    assert gains[-1] < 0.012

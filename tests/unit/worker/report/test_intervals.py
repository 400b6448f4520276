"""Intervals of shares of few calls."""

import pytest
from scipy.stats import binomtest

from worker.report.intervals import Share, difference


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (0, 12), (3, 12), (9, 39), (500, 1_000)])
def test_a_share_has_wilsons_interval(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(0.95, method="wilson")

    assert Share(count, of).interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_no_calls_nothing_is_known() -> None:
    assert Share(0, 0).value == 0
    assert Share(0, 0).interval == (0, 1)


def test_the_interval_of_a_change_is_that_of_newcombes_paper() -> None:
    # Newcombe (1998), table II, contrast (a), method 10.
    assert difference(Share(56, 70), Share(48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)

"""Stretches of time, as people write them."""

from datetime import timedelta

import pytest

from schemas.durations import duration
from schemas.errors import UserError


def test_stretches_of_time_are_read() -> None:
    assert duration("90m") == timedelta(minutes=90)
    assert [duration(text).days for text in ("24h", "7d", "2w")] == [1, 7, 14]


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "1.5d", "7 days", "1000000d"])
def test_what_is_no_stretch_of_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no stretch of time"):
        duration(text)

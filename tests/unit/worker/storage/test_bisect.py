"""Bisection finds the culprits in few attempts and leaves every healthy item done once."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import Away, RejectedData, TooManyDeadLetters
from worker.storage.bisect import bisect


class Attempts:
    """Rejects every run that holds a culprit, and notes what it was asked."""

    def __init__(self, culprits: set[int]) -> None:
        self.culprits = culprits
        self.count = 0
        self.done: list[int] = []

    def __call__(self, run: Sequence[int]) -> None:
        self.count += 1
        if bad := self.culprits.intersection(run):
            raise RejectedData(f"{min(bad)} is bad")
        self.done += run


@st.composite
def some_bad(draw: st.DrawFn) -> tuple[int, set[int]]:
    count = draw(st.integers(1, 300))
    return count, draw(st.sets(st.integers(0, count - 1), max_size=count))


@given(some_bad())
@example((256, {0, 128, 255}))
def test_the_culprits_are_found_in_few_attempts_and_the_healthy_are_done_once_in_order(
    case: tuple[int, set[int]],
) -> None:
    count, bad = case
    attempts = Attempts(bad)
    found = bisect(range(count), attempts)
    assert [item for item, _ in found] == sorted(bad)
    assert [str(error) for _, error in found] == [f"{item} is bad" for item in sorted(bad)]
    assert attempts.done == [item for item in range(count) if item not in bad]
    assert attempts.count <= 2 * len(bad) * math.ceil(math.log2(count)) + 1


@given(st.sets(st.integers(0, 255), min_size=3, max_size=3))
def test_three_bad_in_256_take_at_most_49_attempts(bad: set[int]) -> None:
    attempts = Attempts(bad)
    assert {item for item, _ in bisect(range(256), attempts)} == bad
    assert attempts.count <= 2 * 3 * 8 + 1


def test_healthy_items_take_one_attempt() -> None:
    attempts = Attempts(set())
    assert bisect(range(256), attempts) == []
    assert attempts.count == 1


def test_no_items_take_no_attempt() -> None:
    attempts = Attempts(set())
    assert bisect([], attempts) == []
    assert attempts.count == 0


@given(some_bad(), st.integers(1, 10))
def test_it_gives_up_when_too_many_culprits_follow_on_each_other_and_only_then(
    case: tuple[int, set[int]], most: int
) -> None:
    count, bad = case
    row = longest = 0
    for item in range(count):
        row = row + 1 if item in bad else 0
        longest = max(longest, row)
    if longest > most:
        with pytest.raises(TooManyDeadLetters, match=f"more than {most} items in a row"):
            bisect(range(count), Attempts(bad), most)
    else:
        assert len(bisect(range(count), Attempts(bad), most)) == len(bad)


def test_scattered_culprits_never_make_it_give_up() -> None:
    bad = set(range(0, 256, 2))
    assert len(bisect(range(256), Attempts(bad), 1)) == 128


def test_giving_up_spares_the_attempts_for_the_rest() -> None:
    attempts = Attempts(set(range(256)))
    with pytest.raises(TooManyDeadLetters, match="3 is bad"):
        bisect(range(256), attempts, 3)
    assert attempts.count < 20


def test_another_error_passes_through() -> None:
    def attempt(run: Sequence[int]) -> None:
        raise Away(f"at {len(run)}")

    with pytest.raises(Away, match="at 256"):
        bisect(range(256), attempt)

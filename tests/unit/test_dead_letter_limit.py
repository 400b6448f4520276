"""The circuit breaker opens for garbage, not for some bad records."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dead_letters import DeadLetterLimit
from worker.errors import ConfigurationError, TooManyDeadLetters

GOOD, DEAD = None, ValueError("no transcript")


def test_so_many_in_a_row_open_it_and_one_fewer_does_not() -> None:
    limit = DeadLetterLimit(3, 0.5)
    limit.after([DEAD, DEAD])
    with pytest.raises(TooManyDeadLetters, match="3 records in a row"):
        limit.after([DEAD, DEAD, DEAD])


def test_a_row_goes_on_from_chunk_to_chunk() -> None:
    limit = DeadLetterLimit(3, 0.5).after([GOOD, DEAD]).after([DEAD])
    with pytest.raises(TooManyDeadLetters):
        limit.after([DEAD])


def test_a_good_record_ends_the_row() -> None:
    limit = DeadLetterLimit(3, 0.5)
    for _ in range(100):
        limit = limit.after([DEAD, DEAD, GOOD, GOOD])


def test_asking_again_counts_nothing_twice() -> None:
    limit = DeadLetterLimit(3, 0.5).after([DEAD])
    for _ in range(10):
        later = limit.after([DEAD])
    with pytest.raises(TooManyDeadLetters):
        later.after([DEAD])


def test_a_larger_share_of_the_last_thousand_opens_it() -> None:
    limit = DeadLetterLimit(100, 0.1).after([DEAD] * 50 + [GOOD] * 900)
    limit = limit.after([DEAD] * 50)
    with pytest.raises(TooManyDeadLetters, match="101 of the last 1000"):
        limit.after([GOOD, DEAD, *[GOOD] * 40, *[DEAD] * 50])


def test_the_share_counts_only_once_a_thousand_records_are_seen() -> None:
    DeadLetterLimit(100, 0.1).after([DEAD, GOOD] * 499)
    with pytest.raises(TooManyDeadLetters, match="500 of the last 1000"):
        DeadLetterLimit(100, 0.1).after([DEAD, GOOD] * 500)


def test_old_dead_letters_are_forgotten() -> None:
    limit = DeadLetterLimit(1000, 0.5).after([DEAD] * 499 + [GOOD] * 1000)
    limit.after([DEAD] * 500)


def test_zero_in_a_row_lets_everything_through() -> None:
    DeadLetterLimit(0, 0.01).after([DEAD] * 5_000).after([DEAD] * 5_000)


def test_an_open_breaker_is_an_error_of_the_deployment_and_says_how_to_let_all_through() -> None:
    with pytest.raises(ConfigurationError, match="WORKER_DEAD_LETTERS_IN_A_ROW=0"):
        DeadLetterLimit(1, 1).after([DEAD])


@given(
    st.lists(st.sampled_from([GOOD, DEAD]), max_size=60), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 5)
)
def test_how_records_fall_into_chunks_does_not_matter(
    outcomes: list[ValueError | None], cuts: list[int], in_a_row: int
) -> None:
    limit = DeadLetterLimit(in_a_row, 0.5)
    bounds = [0, *sorted(cuts), len(outcomes)]
    chunks = [outcomes[start:end] for start, end in pairwise(bounds)]

    def opens(parts: list[list[ValueError | None]]) -> bool:
        later = limit
        try:
            for part in parts:
                later = later.after(part)
        except TooManyDeadLetters:
            return True
        return False

    assert opens([outcomes]) == opens(chunks)

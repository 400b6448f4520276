"""The circuit breaker opens for garbage, not for some bad records."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import bad_record, chunk_of, record

from worker.batching import read
from worker.errors import ConfigurationError, RejectedData, TooManyDeadLetters
from worker.records import Chunk, Rejected
from worker.storage.circuit_breaker import DeadLetterLimit

GOOD, DEAD, REFUSED = "good", "dead", "refused"
"""A record that is stored, one that is no transcript, and one that the database does not take."""


class Log:
    """The records of a topic, one after the other."""

    def __init__(self) -> None:
        self._offset = 0
        self.refused: set[int] = set()

    def chunk(self, *runs: Iterable[str], partitions: int = 1) -> Chunk:
        """The next records as they are after the model, dealt over the partitions in turn."""
        items, rejected = [], []
        for outcome in [outcome for run in runs for outcome in run]:
            offset, self._offset = self._offset, self._offset + 1
            if outcome == DEAD:
                bad = bad_record(offset, partition=offset % partitions)
                rejected.append(Rejected(bad, "decode", ValueError("no transcript")))
            else:
                items.append(read(record(offset, partition=offset % partitions)))
                if outcome == REFUSED:
                    self.refused.add(offset)
        return chunk_of(items, rejected)

    def rejected_of(self, part: Chunk) -> list[Rejected]:
        """What of a part of a chunk goes to the dead letters."""
        refused = [item.record for item in part.utterances if item.record.offset in self.refused]
        return [*part.rejected, *(Rejected(each, "store", RejectedData("no row")) for each in refused)]


def opens(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except TooManyDeadLetters:
        return True
    return False


def test_so_many_in_a_row_open_it_and_one_fewer_does_not() -> None:
    DeadLetterLimit(3, 0.5, 0).admit(Log().chunk([DEAD] * 2))
    with pytest.raises(TooManyDeadLetters, match="3 records in a row"):
        DeadLetterLimit(3, 0.5, 0).admit(Log().chunk([DEAD] * 3))


def test_a_row_goes_on_from_chunk_to_chunk() -> None:
    limit, log = DeadLetterLimit(3, 0.5, 0), Log()
    limit.admit(log.chunk([GOOD, DEAD]))
    limit.admit(log.chunk([DEAD]))
    with pytest.raises(TooManyDeadLetters):
        limit.admit(log.chunk([DEAD]))


def test_a_good_record_ends_the_row() -> None:
    limit, log = DeadLetterLimit(3, 0.5, 0), Log()
    for _ in range(100):
        limit.admit(log.chunk([DEAD, DEAD, GOOD, GOOD]))


def test_a_row_goes_by_partition_and_offset_however_the_records_arrived() -> None:
    chunk = Log().chunk([GOOD, DEAD] * 3, partitions=2)
    with pytest.raises(TooManyDeadLetters):
        DeadLetterLimit(3, 0.5, 0).admit(chunk)
    DeadLetterLimit(4, 0.5, 0).admit(chunk)


def test_asking_again_counts_nothing_twice() -> None:
    limit, log = DeadLetterLimit(3, 0.5, 0), Log()
    chunk = log.chunk([DEAD, REFUSED])
    for _ in range(10):
        limit.admit(chunk)
        limit.count_dead_letters(log.rejected_of(chunk))
    with pytest.raises(TooManyDeadLetters):
        limit.admit(log.chunk([DEAD]))


def test_what_the_database_rejects_counts_in_its_own_place_when_later_chunks_are_known_already() -> None:
    limit, log = DeadLetterLimit(3, 0.5, 0), Log()
    first, second = log.chunk([DEAD, GOOD, REFUSED]), log.chunk([DEAD, REFUSED])
    for chunk in (first, second, log.chunk([GOOD])):
        limit.admit(chunk)
    limit.count_dead_letters(log.rejected_of(second))
    with pytest.raises(TooManyDeadLetters, match="no row"):
        limit.count_dead_letters(log.rejected_of(first))


def test_a_chunk_beyond_the_window_is_still_known_when_it_is_stored() -> None:
    """Or its dead letters would be taken for new ones, all in a row."""
    log = Log()
    chunk = log.chunk(([GOOD] * 19 + [DEAD]) * 150)
    limit = DeadLetterLimit(100, 0.5, 3_000)
    limit.admit(chunk)
    limit.count_dead_letters(log.rejected_of(chunk))


def test_a_larger_share_of_the_last_thousand_opens_it() -> None:
    limit, log = DeadLetterLimit(100, 0.1, 0), Log()
    limit.admit(log.chunk([DEAD] * 50 + [GOOD] * 900))
    limit.admit(log.chunk([DEAD] * 50))
    with pytest.raises(TooManyDeadLetters, match="101 of the last 1000"):
        limit.admit(log.chunk([GOOD, DEAD, *[GOOD] * 40, *[DEAD] * 50]))


def test_the_share_counts_only_once_a_thousand_records_are_seen() -> None:
    DeadLetterLimit(100, 0.1, 0).admit(Log().chunk([DEAD, GOOD] * 499))
    with pytest.raises(TooManyDeadLetters, match="500 of the last 1000"):
        DeadLetterLimit(100, 0.1, 0).admit(Log().chunk([DEAD, GOOD] * 500))


def test_old_dead_letters_are_forgotten() -> None:
    limit, log = DeadLetterLimit(1000, 0.5, 50), Log()
    limit.admit(log.chunk([DEAD] * 499 + [GOOD] * 1000))
    limit.admit(log.chunk([DEAD] * 500))


def test_zero_in_a_row_lets_everything_through() -> None:
    limit, log = DeadLetterLimit(0, 0.01, 0), Log()
    for _ in range(2):
        chunk = log.chunk([DEAD] * 2_000)
        limit.admit(chunk)
        limit.count_dead_letters(log.rejected_of(chunk))


def test_an_open_breaker_is_an_error_of_the_deployment_and_says_how_to_let_all_through() -> None:
    with pytest.raises(ConfigurationError, match="WORKER_DEAD_LETTERS_IN_A_ROW=0"):
        DeadLetterLimit(1, 1, 0).admit(Log().chunk([DEAD]))


def test_behind_a_stage_it_asks_about_chunks_and_passes_the_rest_on() -> None:
    guarded = DeadLetterLimit(1, 1, 0).behind(lambda work: work)
    healthy = Log().chunk([GOOD])
    assert guarded(healthy) is healthy
    assert guarded("a claim") == "a claim"
    with pytest.raises(TooManyDeadLetters):
        guarded(Log().chunk([DEAD]))


def cut(outcomes: list[str], cuts: list[int]) -> list[list[str]]:
    bounds = [0, *sorted(min(each, len(outcomes)) for each in cuts), len(outcomes)]
    return [outcomes[start:end] for start, end in pairwise(bounds)]


CUTS = st.lists(st.integers(0, 60), max_size=8)


@given(st.lists(st.sampled_from([GOOD, DEAD]), max_size=60), CUTS, st.integers(1, 5))
def test_how_records_fall_into_chunks_does_not_matter(outcomes: list[str], cuts: list[int], in_a_row: int) -> None:
    def opens_for(chunks: Sequence[list[str]]) -> bool:
        limit, log = DeadLetterLimit(in_a_row, 0.5, 0), Log()
        return opens(lambda: [limit.admit(log.chunk(chunk)) for chunk in chunks])

    assert opens_for([outcomes]) == opens_for(cut(outcomes, cuts))


def longest_row(log: Log, chunks: Sequence[Chunk]) -> int:
    """How many rejected records follow on each other, when all is known."""
    is_bad = []
    for chunk in chunks:
        bad = {item.record.offset for item in log.rejected_of(chunk)}
        records = [item.record for item in (*chunk.utterances, *chunk.rejected)]
        records.sort(key=lambda each: (each.partition, each.offset))
        is_bad += [each.offset in bad for each in records]
    return max((len(list(run)) for bad, run in groupby(is_bad) if bad), default=0)


@given(
    st.lists(st.sampled_from([GOOD, DEAD, REFUSED]), max_size=60),
    CUTS,
    st.integers(1, 5),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_in_which_order_the_parts_are_stored_and_how_often_tried_does_not_matter(
    outcomes: list[str], cuts: list[int], in_a_row: int, lanes: int, random: Random
) -> None:
    limit, log = DeadLetterLimit(in_a_row, 0.5, 0), Log()
    chunks = [log.chunk(chunk, partitions=4) for chunk in cut(outcomes, cuts)]
    waiting: list[list[Chunk]] = [[] for _ in range(lanes)]

    def store_one() -> None:
        parts = random.choice([parts for parts in waiting if parts])
        limit.count_dead_letters(log.rejected_of(parts[0]))
        if random.random() < 0.5:  # Else the transaction failed, and is repeated.
            parts.pop(0)

    def store_all() -> None:
        for chunk in chunks:
            limit.admit(chunk)
            for number, part in chunk.parts(lanes).items():
                waiting[number].append(part)
            for _ in range(random.randint(0, 4)):
                if any(waiting):
                    store_one()
        while any(waiting):
            store_one()

    assert opens(store_all) == (longest_row(log, chunks) >= in_a_row)

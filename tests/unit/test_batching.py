"""The batcher and the planner lose, double and reorder nothing."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from makers import Message, bad_record, partition, record

from schemas.transcripts import InvalidTranscript
from worker.batching import Batcher, plan, read
from worker.records import partition_of

MAX_RECORDS = 6
MAX_WAIT_S = 3.0
PARTITIONS = st.integers(0, 2)


class BatcherMachine(RuleBasedStateMachine):
    """Any sequence of records, revoked partitions, hand-overs and time, beside a list that says what is right."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.opened_at = 0.0
        self.batcher = Batcher(MAX_RECORDS, MAX_WAIT_S, clock=lambda: self.now)
        self.waiting: list[Message] = []
        self.bad: list[Message] = []
        self.log_end = dict.fromkeys(range(3), 0)

    @precondition(lambda self: self.batcher.room > 0)
    @rule(number=PARTITIONS, good=st.lists(st.booleans(), max_size=MAX_RECORDS))
    def add(self, number: int, good: list[bool]) -> None:
        records = []
        for each in good[: self.batcher.room]:
            records.append((record if each else bad_record)(self.log_end[number], partition=number))
            self.log_end[number] += 1
            if not each:
                self.bad.append(records[-1])
        if not self.waiting:
            self.opened_at = self.now
        self.waiting += records
        self.batcher.add(records)

    @rule(numbers=st.sets(PARTITIONS))
    def drop(self, numbers: set[int]) -> None:
        self.batcher.drop([partition(number) for number in numbers])
        self.waiting = [each for each in self.waiting if each.partition not in numbers]

    @rule()
    def take(self) -> None:
        epochs = {partition(number): 10 + number for number in range(3)}
        chunk = self.batcher.take(epochs)
        assert [item.record for item in chunk.utterances] == [each for each in self.waiting if each not in self.bad]
        assert [item.record for item in chunk.rejected] == [each for each in self.waiting if each in self.bad]
        assert {item.stage for item in chunk.rejected} <= {"decode"}
        # A later record of a partition overwrites what an earlier one said.
        assert chunk.next_offsets == {partition_of(each): each.offset + 1 for each in self.waiting}
        assert chunk.epochs == {place: epochs[place] for place in chunk.next_offsets}
        self.waiting = []

    @rule(seconds=st.integers(0, 2))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def says_how_much_waits_and_how_long(self) -> None:
        assert len(self.batcher) == len(self.waiting)
        assert self.batcher.room == MAX_RECORDS - len(self.waiting)
        left = max(0.0, self.opened_at + MAX_WAIT_S - self.now)
        full = len(self.waiting) == MAX_RECORDS
        assert self.batcher.due_in == (None if not self.waiting else 0.0 if full else left)
        assert self.batcher.ready == (full or (bool(self.waiting) and left == 0))


TestBatcher = BatcherMachine.TestCase


def test_a_batcher_is_ready_when_it_is_full_and_not_before() -> None:
    batcher = Batcher(2, 60)
    batcher.add([record(0)])
    assert not batcher.ready
    batcher.add([record(1)])
    assert batcher.ready


def test_the_first_record_waits_as_long_as_it_may_and_later_ones_do_not_prolong_it() -> None:
    now = 0.0
    batcher = Batcher(10, 5, clock=lambda: now)
    batcher.add([record(0)])
    now = 4.0
    batcher.add([record(1)])
    assert batcher.due_in == 1
    now = 5.0
    assert batcher.ready


def test_a_bad_record_is_rejected_with_its_reason_between_its_healthy_neighbours() -> None:
    batcher = Batcher(10, 5)
    bad = bad_record(1)
    batcher.add([record(0), bad, record(2)])
    chunk = batcher.take({partition(0): 7})
    assert [item.record.offset for item in chunk.utterances] == [0, 2]
    [rejected] = chunk.rejected
    assert rejected.record is bad
    assert rejected.stage == "decode"
    assert isinstance(rejected.error, InvalidTranscript)
    assert chunk.next_offsets == {partition(0): 3}


def test_a_bad_record_at_the_end_moves_the_offset_too() -> None:
    batcher = Batcher(10, 5)
    batcher.add([record(0), bad_record(1)])
    assert batcher.take({partition(0): 1}).next_offsets == {partition(0): 2}


def test_reading_normalizes_what_the_model_sees_and_keeps_what_was_received() -> None:
    utterance = read(record(0, "  Ну ЁЛКИ, [laughter] ну… "))
    assert utterance.transcript.text == "  Ну ЁЛКИ, [laughter] ну… "
    assert "елки" in utterance.text


def test_a_record_keeps_its_own_id() -> None:
    assert read(record(0, id="call-7/3")).id == "call-7/3"


@pytest.mark.parametrize(
    "other",
    [
        lambda: record(6),
        lambda: record(5, partition=1),
        lambda: record(5, timestamp=1_700_000_000_001),
    ],
    ids=["offset", "partition", "timestamp"],
)
def test_a_record_without_an_id_is_named_the_same_on_every_replay_and_unlike_any_other(
    other: Callable[[], Message],
) -> None:
    assert read(record(5)).id == read(record(5, "другой текст")).id
    assert read(record(5)).id != read(other()).id


@given(lengths=st.lists(st.integers(0, 600), max_size=300), budget=st.integers(1, 4096))
def test_a_plan_holds_each_text_once_within_the_budget_and_the_longest_first(lengths: list[int], budget: int) -> None:
    batches = list(plan(np.array(lengths, np.int64), budget))
    assert sorted(int(index) for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    ordered = [lengths[index] for batch in batches for index in batch]
    assert ordered == sorted(lengths, reverse=True)


@given(lengths=st.lists(st.integers(1, 600), min_size=1, max_size=300), budget=st.integers(1, 4096))
def test_a_plan_fills_each_batch_so_that_the_next_text_would_not_fit(lengths: list[int], budget: int) -> None:
    for batch in list(plan(np.array(lengths, np.int64), budget))[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > budget


def test_a_text_over_the_budget_goes_alone() -> None:
    batches = list(plan(np.array([3, 900, 3], np.int64), 100))
    assert [batch.tolist() for batch in batches] == [[1], [0, 2]]

"""The batcher and the planner lose, double and reorder nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from makers import Message, bad_record, partition, record

from schemas.transcripts import InvalidTranscript
from worker.batching import Batcher, read, size_of, texts_size_of
from worker.inference.microbatches import plan
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
        chunk = self.batcher.take()
        assert [item.record for item in chunk.utterances] == [each for each in self.waiting if each not in self.bad]
        assert [item.record for item in chunk.rejected] == [each for each in self.waiting if each in self.bad]
        assert {item.stage for item in chunk.rejected} <= {"decode"}
        # A later record of a partition overwrites what an earlier one said.
        assert chunk.next_offsets == {partition_of(each): each.offset + 1 for each in self.waiting}
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


SMALL = 5_000
MAX_BYTES = 40_000


def sized(offset: int, size: int, *, partition: int = 0) -> Message:
    """A record of an exact number of bytes, most of them in a field that is not known."""
    least = held(record(offset, partition=partition, filling=""))
    return record(offset, partition=partition, filling="x" * (size - least))


def held(each: Message) -> int:
    return size_of(each) + texts_size_of(read(each))


@given(polls=st.lists(st.lists(st.integers(2_000, 3 * MAX_BYTES), min_size=1, max_size=30), max_size=30))
def test_only_records_larger_than_those_of_late_pass_a_chunks_bytes_and_then_the_chunk_is_full(
    polls: list[list[int]],
) -> None:
    batcher = Batcher(1_000, 60, MAX_BYTES)
    waiting: list[int] = []
    of_late = before = 0
    for number, sizes in enumerate(polls):
        if not batcher.room:
            batcher.take()
            of_late = before = max([*waiting, before // 2])
            waiting = []
        room = batcher.room
        assert room >= 1
        polled = sizes[:room]
        batcher.add([sized(1_000 * number + at, size) for at, size in enumerate(polled)])
        waiting += polled
        if max(polled) <= of_late:
            assert sum(waiting) <= MAX_BYTES or len(waiting) == 1
        if sum(waiting) > MAX_BYTES:
            assert batcher.ready
            assert sum(waiting) - MAX_BYTES <= room * max(polled)
        of_late = max(of_late, *polled)


@given(size=st.integers(2_000, 3 * MAX_BYTES), count=st.integers(1, 40))
def test_records_of_one_size_fill_chunks_to_their_bytes_and_a_larger_one_goes_alone(size: int, count: int) -> None:
    batcher = Batcher(1_000, 60, MAX_BYTES)
    batcher.add([sized(0, size)])
    batcher.take()
    while len(batcher) < count and batcher.room:
        batcher.add([sized(len(batcher) + at, size) for at in range(batcher.room)])
    assert len(batcher) == max(1, MAX_BYTES // size)
    assert batcher.ready


def test_polls_are_as_long_as_before_a_few_chunks_after_a_large_record() -> None:
    batcher = Batcher(1_000, 60, MAX_BYTES)
    batcher.add([sized(0, MAX_BYTES)])
    assert batcher.room == 0
    rooms = []
    for offset in range(1, 8):
        batcher.take()
        rooms.append(batcher.room)
        batcher.add([sized(offset, SMALL)])
    assert rooms == [1, 2, 4, 8, 8, 8, 8]


def call(offset: int, parts: int, **fields: Any) -> Message:
    """A record that is a whole call."""
    return record(offset, "", segments=[{"text": f"слово {number}"} for number in range(parts)], **fields)


def test_a_call_counts_as_many_records_as_it_has_parts_and_polls_are_shorter_for_a_while() -> None:
    batcher = Batcher(100, 60)
    batcher.add([call(0, 30), record(1)])
    assert len(batcher) == 2
    assert batcher.room == (100 - 31) // 30
    batcher.add([call(2, 90)])
    assert batcher.ready
    batcher.take()
    assert batcher.room == 1
    batcher.add([record(3)])
    batcher.take()
    assert batcher.room == 2


def test_parts_of_a_partition_that_went_count_no_more() -> None:
    batcher = Batcher(100, 60)
    batcher.add([call(0, 20), call(0, 20, partition=1)])
    batcher.drop([partition(1)])
    assert batcher.room == (100 - 20) // 20


def test_the_texts_of_all_parts_count_and_so_do_their_objects() -> None:
    one, three = (texts_size_of(read(call(0, parts))) for parts in (1, 3))
    assert three > 3 * one


def test_a_call_is_one_utterance_that_holds_the_further_ones() -> None:
    first = read(call(5, 2, id="call-7"))
    assert [(part.id, part.message_id, part.part, part.cut, part.text) for part in (first, *first.rest)] == [
        ("call-7", "call-7", 1, "segment", "слово 0"),
        ("call-7#0002", "call-7", 2, "segment", "слово 1"),
    ]
    single = read(call(5, 1, id="call-7"))
    assert (single.message_id, single.part, single.cut, single.rest) == (None, None, None, ())
    nameless = read(call(5, 2))
    assert nameless.rest[0].id == f"{nameless.id}#0002"
    assert nameless.id == read(record(5)).id


def test_bytes_of_a_partition_that_went_count_no_more() -> None:
    batcher = Batcher(1_000, 60, MAX_BYTES)
    batcher.add(sized(at, SMALL, partition=at % 2) for at in range(8))
    assert batcher.room == 0
    batcher.drop([partition(1)])
    assert batcher.room == 4


def test_all_that_was_received_counts_and_so_do_the_texts() -> None:
    bare = record(0, "да")
    assert size_of(replace(bare, key=b"k" * 7)) == size_of(bare) + 7
    assert size_of(replace(bare, headers=[("name", b"12345"), ("empty", None)])) == size_of(bare) + 4 + 5 + 5
    assert size_of(replace(bare, value=None)) == size_of(bare) - len(bare.value or b"")
    longer = texts_size_of(read(record(0, "да" * 500))) - texts_size_of(read(bare))
    assert longer == 2 * 2 * 998


def test_a_bad_record_is_rejected_with_its_reason_between_its_healthy_neighbours() -> None:
    batcher = Batcher(10, 5)
    bad = bad_record(1)
    batcher.add([record(0), bad, record(2)])
    chunk = batcher.take()
    assert [item.record.offset for item in chunk.utterances] == [0, 2]
    [rejected] = chunk.rejected
    assert rejected.record is bad
    assert rejected.stage == "decode"
    assert isinstance(rejected.error, InvalidTranscript)
    assert chunk.next_offsets == {partition(0): 3}


def test_a_bad_record_at_the_end_moves_the_offset_too() -> None:
    batcher = Batcher(10, 5)
    batcher.add([record(0), bad_record(1)])
    assert batcher.take().next_offsets == {partition(0): 2}


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

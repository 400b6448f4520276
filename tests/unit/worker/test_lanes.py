"""Several storages: each has partitions of its own, which keep their order."""

import threading
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import bad_record, chunk_of, record
from services import PATIENCE_S, wait_for

from worker.batching import read
from worker.claims import Claim, Claimed
from worker.records import Chunk, Partition, Rejected, partition_of
from worker.settings import Settings
from worker.stages import Done, Stages, Work


def chunk(*partitions: int, offset: int = 0) -> Chunk:
    return chunk_of([read(record(offset + at, partition=number)) for at, number in enumerate(partitions)])


def answer(work: Work) -> Done:
    return work if isinstance(work, Chunk) else tuple(Claimed(claim, 1, claim.start, None) for claim in work)


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9)), st.integers(1, 4))
def test_parts_hold_everything_once_and_a_partition_whole(good: list[int], bad: list[int], count: int) -> None:
    rejected = [
        Rejected(bad_record(100 + at, partition=number), "decode", ValueError()) for at, number in enumerate(bad)
    ]
    whole = chunk_of([read(record(at, partition=number)) for at, number in enumerate(good)], rejected)
    utterances, offsets, epochs = list(whole.utterances), dict(whole.next_offsets), dict(whole.epochs)
    expected = dict(whole.expected)

    parts = whole.parts(count)

    assert sum(map(len, parts.values())) == len(good) + len(bad)
    assert {key: value for part in parts.values() for key, value in part.next_offsets.items()} == offsets
    assert {key: value for part in parts.values() for key, value in part.epochs.items()} == epochs
    assert {key: value for part in parts.values() for key, value in part.expected.items()} == expected
    for number, part in parts.items():
        assert {partition.partition % count for partition in part.next_offsets} == {number}
        records = [*(item.record for item in part.utterances), *(item.record for item in part.rejected)]
        assert {partition_of(each) for each in records} <= part.next_offsets.keys()
        assert part.utterances == [item for item in utterances if partition_of(item.record) in part.next_offsets]
        assert part.opened_at == whole.opened_at


def test_a_chunk_without_records_goes_on_too() -> None:
    assert Chunk().parts(3).keys() == {0}


def test_each_storage_gets_its_partitions_in_their_order() -> None:
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def storage(number: int) -> Any:
        def store(work: Work) -> Done:
            if isinstance(work, Chunk):
                seen[number] += [(item.record.partition, item.record.offset) for item in work.utterances]
            return answer(work)

        return store

    stages = Stages(lambda work: work, storage(0), storage(1))
    stages.start()
    for at in range(30):
        wait_for(lambda: not stages.full, what="a place")
        stages.submit(chunk(0, 1, 2, 3, offset=at * 4))
        list(stages.done())
    wait_for(lambda: list(stages.done()) is not None and stages.idle, what="all stored")
    stages.close(timeout_s=PATIENCE_S)
    assert not stages.running
    assert {number % 2 for number, _ in seen[0]} == {0}
    assert {number % 2 for number, _ in seen[1]} == {1}
    for order in seen.values():
        for partition in range(4):
            offsets = [offset for number, offset in order if number == partition]
            assert offsets == sorted(offsets)


def test_work_is_in_flight_until_its_last_part_is_done() -> None:
    go_on = threading.Event()

    def slow(work: Work) -> Done:
        go_on.wait(PATIENCE_S)
        return answer(work)

    stages = Stages(lambda work: work, answer, slow)
    stages.start()
    stages.submit(chunk(0, 1))
    done: list[Done] = []
    wait_for(lambda: done.extend(stages.done()) or done, what="the first part")
    assert not stages.idle
    go_on.set()
    wait_for(lambda: done.extend(stages.done()) or stages.idle, what="the second part")
    assert len(done) == 2


def test_claims_go_to_the_storage_of_their_partition() -> None:
    stages = Stages(lambda work: work, answer, answer)
    stages.start()
    claims = tuple(Claim(Partition("transcripts", number), 0, None) for number in range(3))
    stages.submit(claims)
    done: list[Any] = []
    wait_for(lambda: done.extend(stages.done()) or stages.idle, what="the answers")
    assert sorted(len(answers) for answers in done) == [1, 2]
    assert {claimed.claim for answers in done for claimed in answers} == set(claims)


@pytest.mark.parametrize("storages", [1, 2, 3])
def test_no_more_chunks_are_under_way_than_the_byte_budget_has_parts_for(storages: int) -> None:
    go_on = threading.Event()

    def store(work: Work) -> Done:
        go_on.wait(PATIENCE_S)
        return answer(work)

    stages = Stages(lambda work: work, *[store] * storages)
    stages.start()
    submitted = 0
    # Each storage gets chunks of its own, so that none waits for another's.
    for number in [*range(storages), *range(storages), 0, 0]:
        wait_for(lambda: not stages.full, what="a place in the stages")
        stages.submit(chunk(number))
        submitted += 1
    wait_for(lambda: all(place.full() for place in stages._to_storage) and stages.full, what="all places to be taken")
    settings = Settings(database_connections=storages)
    one_fills, one_fetch = 1, 1
    assert settings.max_held_bytes // settings.part_bytes == submitted + one_fills + one_fetch
    go_on.set()
    wait_for(lambda: list(stages.done()) is not None and stages.idle, what="all stored")
    stages.close(PATIENCE_S)

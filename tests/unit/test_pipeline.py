"""The main loop's order of things, with a source of the test's own between real stages."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from makers import partition, record
from services import wait_for

from worker.assignments import Assignment
from worker.batching import Batcher
from worker.errors import Away
from worker.health import Health
from worker.metrics import Metrics
from worker.pipeline import Worker
from worker.records import Chunk, Claim, Claimed, Partition
from worker.source import Polled, Reach
from worker.stages import Done, Stages, Work


class Source:
    """Gives each poll what the test has put there, and fails where it says."""

    def __init__(self) -> None:
        self.polls: list[Polled] = []
        self.away: list[Partition] = []
        self.paused: list[bool] = []
        self.begun: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.told: dict[Partition, Reach] = {}

    def brings(
        self,
        *records: Any,
        notes: Sequence[Assignment] = (),
        gaps: Mapping[Partition, str] | None = None,
    ) -> None:
        by_partition: dict[Partition, list[Any]] = {}
        for item in records:
            by_partition.setdefault(partition(item.partition), []).append(item)
        self.polls.append(Polled(by_partition, list(notes), dict(gaps or {})))

    def poll(self, _most: int, _timeout_s: float, *, paused: bool) -> Polled:
        self.paused.append(paused)
        return Polled({}, [], {}) if paused or not self.polls else self.polls.pop(0)

    def claims(self, partitions: set[Partition]) -> list[Claim]:
        return [Claim(item, 0, "topic") for item in sorted(partitions)]

    def begin(self, item: Partition, next_offset: int, *, made_anew: bool) -> int:
        if item in self.away:
            self.away.remove(item)
            raise Away("Kafka")
        self.begun[item] = 500 if made_anew else next_offset
        return self.begun[item]

    def skip_gap(self, _item: Partition, _why: str) -> int:
        return 500

    def commit(self, next_offsets: Mapping[Partition, int], **_: Any) -> None:
        self.committed |= next_offsets

    def reach(self) -> dict[Partition, Reach]:
        return self.told


class Storage:
    """Answers claims, keeps the chunks, and waits before each while it is told to."""

    def __init__(self, known: str = "topic") -> None:
        self.known = known
        self.go_on = threading.Event()
        self.go_on.set()
        self.chunks: list[Chunk] = []

    def __call__(self, work: Work) -> Done:
        if not isinstance(work, Chunk):
            return tuple(Claimed(claim, 1, 10, self.known) for claim in work)
        self.go_on.wait(30)
        self.chunks.append(work)
        return work


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def worker(source: Source, storage: Storage) -> Iterator[Worker]:
    stages = Stages(lambda work: work, storage)
    stages.start()
    yield Worker(source, Batcher(100, 0), stages, Health(30), Metrics())  # type: ignore[arg-type]  # it has all it needs.
    storage.go_on.set()


def came(*numbers: int) -> list[Assignment]:
    return [Assignment("assigned", [partition(number) for number in numbers])]


def turn_until(worker: Worker, source: Source, begun: int) -> None:
    def all_begun() -> bool:
        worker.turn()
        return len(source.begun) == begun

    wait_for(all_begun, what="the claims' answers")


def test_claims_that_were_answered_while_kafka_went_away_are_heeded_on_the_next_turn(
    worker: Worker, source: Source
) -> None:
    source.brings(notes=came(0, 1, 2))
    source.away = [partition(1)]

    with pytest.raises(Away):
        turn_until(worker, source, begun=3)
    assert source.begun == {partition(0): 10}

    worker.turn()
    assert source.begun == dict.fromkeys([partition(0), partition(1), partition(2)], 10)
    assert source.committed == source.begun, "Kafka's own offset is put right at once"


def test_an_offset_that_was_skipped_to_is_stored_between_the_records_before_and_behind_the_gap(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    storage.go_on.clear()
    for offset in range(10, 14):  # One is stored, one waits for it, one waits to be classified, one is batched.
        source.brings(record(offset))
    while source.polls:
        worker.turn()
    source.brings(gaps={partition(0): "it is gone"})
    worker.turn()
    source.brings(record(500))
    worker.turn()
    assert source.paused[-1], "nothing is read behind the gap before the skip has its place"

    storage.go_on.set()
    wait_for(lambda: worker.turn() or source.committed == {partition(0): 501}, what="all to be stored")

    offsets = [offset for chunk in storage.chunks for offset in chunk.next_offsets.values()]
    assert offsets == sorted(offsets)
    assert 500 in offsets
    assert all(chunk.epochs == {partition(0): 1} for chunk in storage.chunks)


@pytest.mark.parametrize("storage", [Storage(known="the topic before")])
def test_where_a_topic_made_anew_is_read_from_is_stored_before_any_record(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    assert source.committed == {}, "the offset of the old topic says nothing of the new one"
    wait_for(lambda: worker.turn() or source.committed, what="the skip to be stored")
    assert [(len(chunk), chunk.next_offsets) for chunk in storage.chunks] == [(0, {partition(0): 500})]


def test_marks_at_the_end_of_the_log_are_no_lag_and_are_stored(worker: Worker, source: Source) -> None:
    source.told = {partition(0): Reach(position=11, end=11)}
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    wait_for(lambda: worker.turn() or source.committed == {partition(0): 11}, what="the marks to be stored")
    assert not worker._behind


def test_a_partition_that_went_takes_its_skip_with_it(worker: Worker, source: Source, storage: Storage) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    source.brings(notes=[Assignment("revoked", [partition(0)])], gaps={partition(0): "it is gone"})
    worker.turn()
    worker.turn()
    assert not worker._waiting
    assert storage.chunks == []


def test_what_any_stage_finishes_is_progress(source: Source) -> None:
    class Counting:
        steps = 0
        full = idle = False

        def done(self) -> tuple[()]:
            return ()

    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    stages, clock = Counting(), Clock()
    health = Health(30, clock)
    worker = Worker(source, Batcher(100, 0), stages, health, Metrics())  # type: ignore[arg-type]  # they have all it needs.
    for _ in range(10):  # A chunk that takes a model 200 s, a micro-batch every 20.
        clock.now += 20
        stages.steps += 1
        worker.turn()
        assert health.complaint() is None
    clock.now += 20
    worker.turn()
    clock.now += 20
    worker.turn()
    assert health.complaint() == "records wait, and nothing was classified or stored for 40 s"

"""The main loop's order of things, with a source of the test's own between real stages."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from makers import partition, record
from services import PATIENCE_S, wait_for

from worker.batching import Batcher
from worker.claims import Claim, Claimed
from worker.errors import OffsetOutOfRange
from worker.kafka.assignments import Assignment
from worker.kafka.consumer import Polled
from worker.kafka.log_offsets import LogPosition
from worker.loop import Worker
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.records import Chunk, Gap, Partition
from worker.stages import Done, Stages, Work


class Source:
    """Gives each poll what the test has put there, and fails where it says."""

    def __init__(self) -> None:
        self.polls: list[Polled] = []
        self.away: list[Partition] = []
        self.paused: list[bool] = []
        self.begun: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.told: dict[Partition, LogPosition] = {}
        self.silent: set[Partition] = set()
        self.released: set[Partition] = set()
        self.confirmed: list[dict[Partition, int]] = []
        self.member = True
        self.policy = "earliest"
        self.recreated: list[bool] = []

    def brings(
        self,
        *records: Any,
        notes: Sequence[Assignment] = (),
        gaps: Mapping[Partition, Gap] | None = None,
    ) -> None:
        by_partition: dict[Partition, list[Any]] = {}
        for item in records:
            by_partition.setdefault(partition(item.partition), []).append(item)
        self.polls.append(Polled(by_partition, list(notes), dict(gaps or {})))

    def poll(self, _most: int, _timeout_s: float, *, paused: bool) -> Polled:
        self.paused.append(paused)
        return Polled({}, [], {}) if paused or not self.polls else self.polls.pop(0)

    def claims(self, partitions: AbstractSet[Partition]) -> list[Claim]:
        return [Claim(item, 0, "topic") for item in sorted(partitions - self.silent)]

    def begin(self, claimed: Claimed) -> int | None:
        item = claimed.claim.partition
        if item in self.away:
            self.away.remove(item)
            return None
        self.begun[item] = 500 if claimed.topic_recreated else claimed.next_offset
        return self.begun[item]

    def skip_gap(self, item: Partition, gap: Gap) -> int:
        if self.policy == "fail":
            raise OffsetOutOfRange(f"{item}: {gap.why}")
        return 500

    def release(self, partitions: AbstractSet[Partition]) -> None:
        self.released |= partitions

    def confirm_membership(self, stored_offsets: Mapping[Partition, int]) -> bool:
        self.confirmed.append(dict(stored_offsets))
        return self.member

    def commit(self, next_offsets: Mapping[Partition, int], **_: Any) -> None:
        self.committed |= next_offsets

    def positions(self, partitions: AbstractSet[Partition]) -> dict[Partition, LogPosition]:
        return {item: self.told[item] for item in partitions if item in self.told}

    def check_topic(self) -> bool:
        return not self.recreated or bool(self.recreated.pop())


class Storage:
    """Answers claims, keeps the chunks or fences them, and waits before each while it is told to."""

    def __init__(self, known: str = "topic") -> None:
        self.known = known
        self.go_on = threading.Event()
        self.go_on.set()
        self.chunks: list[Chunk] = []
        self.fences = 0
        self.claims = 0

    def __call__(self, work: Work) -> Done:
        if not isinstance(work, Chunk):
            self.claims += 1
            return tuple(Claimed(claim, self.claims, 10, self.known) for claim in work)
        self.go_on.wait(PATIENCE_S)
        if self.fences:
            self.fences -= 1
            work.fenced = dict(work.epochs)
            work.drop(lambda _: True)
        else:
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


def test_a_partition_that_no_broker_answers_for_holds_up_no_other(worker: Worker, source: Source) -> None:
    source.brings(notes=came(0, 1, 2))
    source.silent = {partition(2)}
    source.away = [partition(1)] * 3

    turn_until(worker, source, begun=2)

    assert source.begun == dict.fromkeys([partition(0), partition(1)], 10)
    assert source.committed == source.begun, "Kafka's own offset is put right at once"
    assert not worker._health.ready
    source.silent = set()
    turn_until(worker, source, begun=3)
    assert worker._health.ready


def test_a_gap_waits_for_the_records_before_it_and_is_stored_after_them(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0, 1))
    turn_until(worker, source, begun=2)
    storage.go_on.clear()
    for offset in range(10, 14):  # One is stored, one waits for it, one waits to be classified, one is batched.
        source.brings(record(offset))
    while source.polls:
        worker.turn()
    source.brings(gaps={partition(0): Gap("it is gone")})
    source.brings(record(10, partition=1))
    while source.polls:
        worker.turn()

    storage.go_on.set()
    wait_for(lambda: worker.turn() or source.committed.get(partition(0)) == 500, what="the skip to be stored")

    offsets = [chunk.next_offsets[partition(0)] for chunk in storage.chunks if partition(0) in chunk.next_offsets]
    assert offsets == sorted(offsets)
    assert offsets[-2:] == [14, 500]
    assert source.committed[partition(1)] == 11, "another partition goes on"


def test_a_gap_that_must_not_be_skipped_ends_the_worker_once_the_records_before_it_are_stored(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.policy = "fail"
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    source.brings(record(10), gaps={partition(0): Gap("it is gone")})
    with pytest.raises(OffsetOutOfRange, match="it is gone"):
        wait_for(worker.turn, what="the end")
    assert [chunk.next_offsets for chunk in storage.chunks] == [{partition(0): 11}]


def test_a_chunk_says_where_the_stored_offset_must_stand(worker: Worker, source: Source, storage: Storage) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    for offset in range(10, 13):
        source.brings(record(offset))
    wait_for(lambda: worker.turn() or len(storage.chunks) == 3, what="three chunks")
    assert [chunk.expected[partition(0)] for chunk in storage.chunks] == [10, 11, 12]


def test_what_the_database_refuses_is_claimed_again_once_the_group_says_that_it_is_ours(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    storage.fences, source.member = 1, False
    source.brings(record(10))
    wait_for(lambda: worker.turn() or source.confirmed, what="the question to the group")
    assert source.released == {partition(0)}
    assert source.confirmed[0] == {partition(0): 10}
    assert storage.claims == 1, "a worker that the group has expelled takes nothing back"
    assert not worker._health.ready

    source.member = True
    wait_for(lambda: worker.turn() or storage.claims == 2, what="the second claim")
    wait_for(lambda: worker.turn() or worker._health.ready, what="its answer")
    source.brings(record(10))
    wait_for(lambda: worker.turn() or storage.chunks, what="the record, read again")
    assert storage.chunks[0].epochs == {partition(0): 2}


def test_a_partition_that_went_while_it_was_disputed_is_not_claimed_again(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    storage.fences, source.member = 1, False
    source.brings(record(10))
    wait_for(lambda: worker.turn() or source.confirmed, what="the question to the group")
    source.member = True
    source.brings(notes=[Assignment("revoked", [partition(0)])])
    while source.polls:
        worker.turn()
    assert worker._partitions.complete
    assert storage.claims == 1


def test_a_topic_that_was_created_again_under_the_worker_is_claimed_again(worker: Worker, source: Source) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    source.recreated, worker._lag_due = [False], 0
    worker.turn()
    assert source.released == {partition(0)}
    wait_for(lambda: worker.turn() or worker._health.ready, what="the second claim")


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
    source.told = {partition(0): LogPosition(position=11, end=11)}
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    wait_for(lambda: worker.turn() or source.committed == {partition(0): 11}, what="the marks to be stored")
    assert not worker._watch.behind


def test_where_all_is_stored_the_database_is_asked_whether_it_still_is(
    worker: Worker, source: Source, storage: Storage
) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    worker._verify_due, steps = 0, worker._stages.steps
    wait_for(lambda: worker.turn() or storage.chunks, what="the question")
    assert [(len(chunk), chunk.expected, chunk.next_offsets) for chunk in storage.chunks] == [
        (0, {partition(0): 10}, {partition(0): 10})
    ]
    assert worker._stages.steps == steps, "it is no progress"


def test_a_partition_that_went_takes_its_skip_with_it(worker: Worker, source: Source, storage: Storage) -> None:
    source.brings(notes=came(0))
    turn_until(worker, source, begun=1)
    source.brings(notes=[Assignment("revoked", [partition(0)])], gaps={partition(0): Gap("it is gone")})
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
        assert health.liveness_problem() is None
    clock.now += 20
    worker.turn()
    clock.now += 20
    worker.turn()
    assert health.liveness_problem() == "records wait, and nothing was classified or stored for 40 s"

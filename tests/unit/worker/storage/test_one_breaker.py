"""One circuit breaker among storages that run at the same time, each on a thread of its own."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from makers import bad_record, chunk_of, record
from services import PATIENCE_S, wait_for

from worker.batching import read
from worker.errors import TooManyDeadLetters
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.records import Chunk, Rejected
from worker.stages import CHUNKS_UNSTORED, Stages, Storage, Work
from worker.storage.circuit_breaker import DeadLetterLimit

PARTITIONS = 4
IN_A_ROW = 20


class Store:
    """Refuses what it is told to refuse, as a constraint of the database does; remembers the rest."""

    def __init__(self, refuses: Callable[[int], bool]) -> None:
        self._refuses = refuses
        self.rows: list[int] = []

    def write(self, chunk: Chunk, bury: Callable[[Sequence[Rejected]], None]) -> None:
        refused = [item.record for item in chunk.utterances if self._refuses(item.record.partition)]
        bury([*chunk.rejected, *(Rejected(each, "store", ValueError("refused")) for each in refused)])
        self.rows += [item.record.offset for item in chunk.utterances if item.record not in refused]


class Topic:
    """A dead-letter topic in a list."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    def send(self, rejected: Sequence[Rejected]) -> None:
        self.sent += [(item.record.partition, item.record.offset) for item in rejected]


class Bench:
    """Chunks go through a classifier that does nothing, the breaker and some storages until it opens."""

    def __init__(self, storages: int, share: float = 1, refuses: Callable[[int], bool] = lambda _: False) -> None:
        limit = DeadLetterLimit(IN_A_ROW, share, CHUNKS_UNSTORED * 100)
        self.topic = Topic()
        self.stores = [Store(refuses) for _ in range(storages)]
        stages = [Storage(store, self.topic, limit, Metrics(), Health(30)) for store in self.stores]  # type: ignore[arg-type]
        self._stages = Stages(limit.behind(_same), *stages)
        self.submitted = 0

    def run(self, chunks: Iterator[Chunk], at_most: int) -> None:
        """Raise what ends the stages; return when a number of chunks went through."""
        self._stages.start()
        while self.submitted < at_most:
            chunk = next(chunks)
            while self._stages.full:  # No pause: the threads shall have as much to do as they can.
                list(self._stages.done())
            self._stages.submit(chunk)
            self.submitted += 1
        wait_for(self._is_idle, what="the last chunk")

    def _is_idle(self) -> bool:
        list(self._stages.done())
        return self._stages.idle


def _same(work: Work) -> Work:
    return work


def chunks(size: int, is_bad: Callable[[int], bool] = lambda _: False) -> Iterator[Chunk]:
    """Chunks whose records are dealt over the partitions, in some of which all are garbage."""
    offset = 0
    while True:
        numbers = [at % PARTITIONS for at in range(offset, offset + size)]
        bad = [bad_record(offset + at, partition=number) for at, number in enumerate(numbers) if is_bad(number)]
        good = [record(offset + at, partition=number) for at, number in enumerate(numbers) if not is_bad(number)]
        yield chunk_of([read(each) for each in good], [Rejected(each, "decode", ValueError("bad")) for each in bad])
        offset += size


def everywhere(_: int) -> bool:
    return True


def in_one(partition: int) -> bool:
    return partition == 1


@pytest.mark.parametrize("storages", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_garbage_in_all_partitions_stops_them_before_so_much_is_let_through(storages: int, size: int) -> None:
    bench = Bench(storages)
    with pytest.raises(TooManyDeadLetters, match=f"{IN_A_ROW} records in a row"):
        bench.run(chunks(size, everywhere), at_most=1_000)
    assert len(bench.topic.sent) <= (IN_A_ROW - 1) // size * size


@pytest.mark.parametrize("storages", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_database_that_refuses_everything_stops_them_soon(storages: int, size: int) -> None:
    """A lane may be ahead of the others by what is in flight, and those count as good until they are tried."""
    bench = Bench(storages, refuses=everywhere)
    with pytest.raises(TooManyDeadLetters):
        bench.run(chunks(size), at_most=1_000)
    assert len(bench.topic.sent) < IN_A_ROW + CHUNKS_UNSTORED * size


@pytest.mark.parametrize("storages", [1, 2, 3])
def test_a_healthy_lane_beside_one_of_garbage_stops_by_the_share(storages: int) -> None:
    bench = Bench(storages, share=0.2)
    with pytest.raises(TooManyDeadLetters, match="of the last 1000"):
        bench.run(chunks(40, in_one), at_most=1_000)
    assert {partition for partition, _ in bench.topic.sent} == {1}
    assert bench.submitted <= 1_000 / 40 + CHUNKS_UNSTORED


@pytest.mark.parametrize("storages", [1, 2, 3])
def test_a_healthy_lane_beside_one_whose_rows_are_refused_stops_by_the_share(storages: int) -> None:
    bench = Bench(storages, share=0.2, refuses=in_one)
    with pytest.raises(TooManyDeadLetters, match="of the last 1000"):
        bench.run(chunks(40), at_most=1_000)
    assert {partition for partition, _ in bench.topic.sent} == {1}


@pytest.mark.parametrize("storages", [1, 2, 3])
def test_some_garbage_among_much_that_is_healthy_stops_nothing(storages: int) -> None:
    bench = Bench(storages, share=0.5)
    bench.run(chunks(16, in_one), at_most=80)
    assert len(bench.topic.sent) == 80 * 16 / PARTITIONS
    assert sum(len(store.rows) for store in bench.stores) == 80 * 16 * (PARTITIONS - 1) / PARTITIONS


def test_threads_that_ask_at_the_same_time_let_through_what_one_would() -> None:
    limit = DeadLetterLimit(IN_A_ROW, 1, 0)
    garbage = [Rejected(bad_record(offset), "store", ValueError("refused")) for offset in range(1_000)]
    limit.admit(chunk_of([read(record(offset)) for offset in range(1_000)]))
    together, passed = threading.Barrier(8), list[int]()

    def ask(number: int) -> None:
        together.wait(PATIENCE_S)
        for item in garbage[number::8]:
            try:
                limit.count_dead_letters([item])
            except TooManyDeadLetters:
                return
            passed.append(item.record.offset)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    in_order = [number in set(passed) for number in range(1_000)]
    rows = "".join("x" if done else " " for done in in_order).split()
    assert max(map(len, rows)) < IN_A_ROW

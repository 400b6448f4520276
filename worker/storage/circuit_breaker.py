"""The circuit breaker: when most records are rejected, the deployment is to blame, not the data."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, islice
from typing import Final, TypeVar

from worker.errors import TooManyDeadLetters, loggable_text
from worker.records import Chunk, Record, Rejected

Work = TypeVar("Work")

_WINDOW: Final = 1_000
_ADVICE: Final = (
    "Nothing of this chunk was stored or skipped. Is this the right topic, the right format, the right model? "
    "WORKER_DEAD_LETTERS_IN_A_ROW=0 lets everything through. The last error"
)


class DeadLetterLimit:
    """Knows which of the last records were rejected: one for all partitions, and for all threads that store them.

    The records are in a row as they were classified: chunk by chunk, within a chunk by partition and offset. Which
    thread stores a record, and when, does not matter. Each counts once, however often it is asked about, and as good
    until it is rejected: most are by the time their chunk is classified, so that garbage opens the breaker before any
    part of its chunk is stored. What the database rejects counts in its own place as soon as it is known; other
    parts of its chunk may be stored by then.

    Any thread may ask. The lock is held for as long as it takes to look at some thousands of records in memory; where
    nothing is rejected, the threads that store take none.

    Args:
        in_a_row: number of rejected records without a good one between that opens it; 0 never does.
        share: a larger share of rejected records among the last 1,000 opens it.
        in_flight: maximum number of records that are classified and not stored yet; they are still known.
    """

    def __init__(self, in_a_row: int, share: float, in_flight: int) -> None:
        self._in_a_row = in_a_row
        self._share = share
        self._known = max(in_a_row, _WINDOW) + in_flight
        self._lock = threading.Lock()
        self._is_dead: OrderedDict[tuple[str, int, int], bool] = OrderedDict()

    def behind(self, classify: Callable[[Work], Work]) -> Callable[[Work], Work]:
        """Admit each chunk that a stage gives on, and pass on its other calls."""

        def classify_and_admit(work: Work) -> Work:
            work = classify(work)
            if isinstance(work, Chunk):
                self.admit(work)
            return work

        return classify_and_admit

    def admit(self, chunk: Chunk) -> None:
        """Count all records of a classified chunk, before any is stored.

        Raises:
            TooManyDeadLetters: the breaker is open.
        """
        if not self._in_a_row:
            return
        outcomes = dict.fromkeys(map(_place, (item.record for item in chunk.utterances)), False)
        outcomes |= _dead(chunk.rejected)
        self._count(sorted(outcomes.items()), chunk.rejected)

    def count_dead_letters(self, rejected: Sequence[Rejected]) -> None:
        """Count what is about to go to the dead letters, known or new.

        Raises:
            TooManyDeadLetters: the breaker is open.
        """
        if rejected and self._in_a_row:
            self._count(_dead(rejected).items(), rejected)

    def _count(self, outcomes: Iterable[tuple[tuple[str, int, int], bool]], rejected: Sequence[Rejected]) -> None:
        with self._lock:
            self._is_dead.update(outcomes)
            if rejected:  # Nothing else can open it.
                self._check(rejected[-1].error)
            while len(self._is_dead) > self._known:
                self._is_dead.popitem(last=False)

    def _check(self, error: BaseException) -> None:
        last = loggable_text(error)
        for is_dead, run in groupby(self._is_dead.values()):
            if is_dead and len(list(islice(run, self._in_a_row))) == self._in_a_row:
                raise TooManyDeadLetters(f"{self._in_a_row} records in a row are dead letters. {_ADVICE}: {last}")
        dead = sum(islice(reversed(self._is_dead.values()), _WINDOW))
        if len(self._is_dead) >= _WINDOW and dead > self._share * _WINDOW:
            raise TooManyDeadLetters(f"{dead} of the last {_WINDOW} records are dead letters. {_ADVICE}: {last}")


def _dead(rejected: Sequence[Rejected]) -> dict[tuple[str, int, int], bool]:
    return dict.fromkeys((_place(item.record) for item in rejected), True)


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset

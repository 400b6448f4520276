"""What the consumer group decides: which partitions come to this member, and which go."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Literal, NamedTuple

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener

from worker.records import Partition


class Assignment(NamedTuple):
    """What the group decided: these partitions came, or these went."""

    kind: Literal["assigned", "revoked"]
    partitions: list[Partition]


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Writes down what the group decides, and tells it to the main thread.

    It is called on the client's I/O thread in the middle of a poll, where neither database nor consumer may
    be used; and a partition can be lost and regained within one poll, which only these notes show.

    Attributes:
        waiting: partitions that came and are not claimed yet, as far as `take` has told.
    """

    def __init__(self) -> None:
        self._notes: deque[Assignment] = deque()
        self._rejoining_since: float | None = None
        self.waiting: set[Partition] = set()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note partitions that came."""
        self._notes.append(Assignment("assigned", [Partition(*partition) for partition in assigned]))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note partitions that went."""
        self._notes.append(Assignment("revoked", [Partition(*partition) for partition in revoked]))

    def take(self) -> list[Assignment]:
        """Return, in order, what was decided since the last call."""
        notes = []
        while self._notes:
            note = self._notes.popleft()
            notes.append(note)
            if note.kind == "assigned":
                self.waiting.update(note.partitions)
                self._rejoining_since = None
            else:
                self.waiting.difference_update(note.partitions)
                self._rejoining_since = time.monotonic()
        return notes

    def forgotten(self, patience_s: float) -> bool:
        """Tell, once every ``patience_s`` seconds, that a rebalance took our partitions and brought none.

        The client (3.0.12) may do so.
        """
        now = time.monotonic()
        if self._rejoining_since is None or now - self._rejoining_since <= patience_s:
            return False
        self._rejoining_since = now
        return True

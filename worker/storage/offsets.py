"""Which partitions belong to this worker, and how far each is read and stored; no I/O.

The main thread owns an `Ownership`. Chunks carry what it knows to the storage threads, whose answers come back to it.
`judge` is how the database decides; the storage applies it to rows that it has locked.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from worker.claims import Claim, Claimed
from worker.records import Chunk, Gap, Partition


class StoredOffset(NamedTuple):
    """What the database holds of a partition."""

    epoch: int
    """Number of claims so far; the latest claim has this number."""
    next_offset: int


Verdict = Literal["move", "claimed by another", "stands elsewhere"]


def judge(row: StoredOffset | None, epoch: int, expected: int, next_offset: int) -> Verdict:
    """Decide whether a chunk may move a partition's stored offset.

    An offset at the chunk's own end is allowed: the answer to an earlier COMMIT of this chunk got lost.

    Args:
        row: what the database holds; None where it holds nothing.
        epoch: number of the claim under which the chunk was read.
        expected: the stored offset before the chunk.
        next_offset: the stored offset after the chunk.
    """
    if row is None:
        return "stands elsewhere"
    if row.epoch != epoch:
        return "claimed by another"
    return "move" if row.next_offset in {expected, next_offset} else "stands elsewhere"


@dataclass(slots=True)
class OwnedPartition:
    """A partition whose claim was answered."""

    epoch: int
    """Number of the claim, which each chunk carries."""
    received: int
    """Offset after the last record that was polled."""
    handed_over: int
    """Offset that the database holds once every chunk handed over is stored."""
    stored: int | None
    """Offset that the database holds; None while that offset belongs to a topic that was deleted."""
    unsent: bool = False
    """Whether ``received`` waits to be handed over though no record led there: it moved, or is to be verified."""
    gap: Gap | None = None
    """Where the log cannot be read on after ``received``."""

    def skip(self, offset: int) -> None:
        """Go on from an offset that no record led to; a chunk must store it."""
        self.received = offset
        self.unsent = True

    def lag(self, position: int, end: int) -> int:
        """Count the records that are not stored.

        Where every record is stored, offsets before the position hold no records, such as the marks of transactions.
        They are skipped and stored: retention would otherwise turn them into a gap one day.

        Args:
            position: the offset that the consumer asks for next.
            end: the offset after the last record of the log.
        """
        if self.stored == self.received < position:
            self.skip(position)
            return max(0, end - position)
        return max(0, end - (self.received if self.stored is None else self.stored))


class Ownership:
    """The partitions of this worker, from their assignment by the group to their loss.

    A partition is *unclaimed* once the group assigns it, *asked for* while the database decides, and then *owned*.
    An owned partition becomes *disputed* when the database refuses one of its chunks. It is claimed again after the
    group has confirmed that this worker is still its member.

    Attributes:
        unclaimed: assigned partitions that no claim was sent for.
        disputed: assigned partitions whose claim the database no longer honours, each with the offset that it held
            last as far as this worker knows.
        owned: partitions whose claim was answered.
    """

    def __init__(self) -> None:
        self.unclaimed: set[Partition] = set()
        self.disputed: dict[Partition, int] = {}
        self.owned: dict[Partition, OwnedPartition] = {}
        self._asked: dict[Partition, Claim] = {}

    @property
    def complete(self) -> bool:
        """Whether every assigned partition is owned."""
        return not (self.unclaimed or self.disputed or self._asked)

    @property
    def unsent(self) -> bool:
        """Whether an offset waits to be handed over that no record led to."""
        return any(owned.unsent for owned in self.owned.values())

    @property
    def stored_offsets(self) -> dict[Partition, int]:
        """The offsets that the database holds, as far as they are known."""
        return {partition: owned.stored for partition, owned in self.owned.items() if owned.stored is not None}

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Take in partitions that the group assigned; what was known of them no longer holds."""
        partitions = set(partitions)
        self.revoke(partitions)
        self.unclaimed |= partitions

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions, and withdraw the claims that the database has not answered."""
        for partition in partitions:
            if claim := self._asked.pop(partition, None):
                claim.wanted = False
            self.owned.pop(partition, None)
            self.unclaimed.discard(partition)
            self.disputed.pop(partition, None)

    def ask(self, claims: Iterable[Claim]) -> None:
        """Note claims that are on their way to the database."""
        for claim in claims:
            self.unclaimed.discard(claim.partition)
            self._asked[claim.partition] = claim

    def awaits(self, claimed: Claimed) -> bool:
        """Whether an answer belongs to the latest claim of its partition."""
        return self._asked.get(claimed.claim.partition) is claimed.claim

    def begin(self, claimed: Claimed, read_from: int) -> None:
        """Own a partition.

        Args:
            claimed: the database's answer.
            read_from: the offset to read from; it differs from the answer's where the topic was recreated.
        """
        partition = claimed.claim.partition
        del self._asked[partition]
        stored = None if claimed.topic_recreated else read_from
        owned = OwnedPartition(claimed.epoch, read_from, claimed.next_offset, stored)
        owned.unsent = claimed.topic_recreated
        self.owned[partition] = owned

    def mark(self, chunk: Chunk) -> None:
        """Write into a chunk what the database is to check: claims, offsets before and offsets after.

        The chunk holds every record that was received and not handed over yet.
        """
        for partition, owned in self.owned.items():
            if owned.unsent or partition in chunk.next_offsets:
                chunk.next_offsets[partition] = owned.received
                chunk.expected[partition] = owned.handed_over
                chunk.epochs[partition] = owned.epoch
                owned.handed_over = owned.received
                owned.unsent = False

    def verify(self) -> None:
        """Have the next chunk ask whether the database still stands where all is stored.

        It may come back without its last commits, and no record may follow to tell.
        """
        for owned in self.owned.values():
            owned.unsent |= owned.stored == owned.received

    def settle(self, chunk: Chunk) -> set[Partition]:
        """Take in the answer to a chunk.

        Returns:
            Partitions that are disputed from now on.
        """
        for partition, offset in chunk.next_offsets.items():
            if self._is_current(partition, chunk.epochs[partition]):
                self.owned[partition].stored = offset
        lost = {partition for partition, epoch in chunk.fenced.items() if self._is_current(partition, epoch)}
        self.dispute(lost)
        return lost

    def dispute(self, partitions: Collection[Partition]) -> None:
        """Give up owned partitions until the group confirms that they are still ours."""
        for partition in partitions:
            owned = self.owned.pop(partition)
            self.disputed[partition] = owned.received if owned.stored is None else owned.stored

    def reclaim(self) -> None:
        """Let disputed partitions be claimed again."""
        self.unclaimed |= self.disputed.keys()
        self.disputed.clear()

    def _is_current(self, partition: Partition, epoch: int) -> bool:
        owned = self.owned.get(partition)
        return owned is not None and owned.epoch == epoch

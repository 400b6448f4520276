"""The protocol of claims, epochs and compare-and-set, in every order that hypothesis finds, without I/O.

Workers, their group and a database take turns. Workers crash, hang and are expelled without knowing it. Statements hang
in the network and arrive late, answers get lost, and the database comes back without its last commits. The workers run
the real `Ownership`, the database the real `judge`.
"""

import copy
from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.claims import Claim, Claimed
from worker.records import Chunk, Partition
from worker.storage.offsets import Ownership, StoredOffset, judge

PARTITIONS = [Partition("transcripts", number) for number in range(2)]
WORKERS = st.integers(0, 1)
FATES = st.sampled_from(["answered", "answered", "answer lost", "hangs"])
OWNERS = st.lists(WORKERS, min_size=len(PARTITIONS), max_size=len(PARTITIONS))

Work = Chunk | Claim
Done = Chunk | Claimed


class Database:
    """The offsets and, for each partition, the offsets of the records that have a row."""

    def __init__(self) -> None:
        self.offsets: dict[Partition, StoredOffset] = {}
        self.rows: dict[Partition, set[int]] = {partition: set() for partition in PARTITIONS}

    def claim(self, claim: Claim) -> Claimed:
        row = self.offsets.get(claim.partition, StoredOffset(0, claim.start))
        self.offsets[claim.partition] = StoredOffset(row.epoch + 1, row.next_offset)
        return Claimed(claim, row.epoch + 1, row.next_offset, claim.topic_id)

    def store(self, chunk: Chunk) -> Chunk:
        """Answer as the storage does, for a chunk that names the records between two offsets."""
        stored = Chunk(next_offsets=dict(chunk.next_offsets), epochs=dict(chunk.epochs), expected=dict(chunk.expected))
        for partition, next_offset in chunk.next_offsets.items():
            epoch, expected = chunk.epochs[partition], chunk.expected[partition]
            if judge(self.offsets.get(partition), epoch, expected, next_offset) == "move":
                self.rows[partition] |= set(range(expected, next_offset))
                self.offsets[partition] = StoredOffset(epoch, next_offset)
            else:
                stored.fenced[partition] = epoch
                del stored.next_offsets[partition]
        return stored


@dataclass
class Worker:
    """A worker as its threads see it: the main thread's knowledge, and the work that waits for the storage."""

    ownership: Ownership = field(default_factory=Ownership)
    notes: deque[tuple[str, list[Partition]]] = field(default_factory=deque)
    batch: set[Partition] = field(default_factory=set)
    queue: deque[Work] = field(default_factory=deque)
    done: deque[Done] = field(default_factory=deque)


class Protocol(RuleBasedStateMachine):
    """Each rule is one step of one thread, or one misfortune."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.database = Database()
        self.past: list[Database] = []
        self.workers = [Worker() for _ in range(2)]
        self.orphans: list[Work] = []
        self.last_loss = 0
        # What the group's commits to Kafka say: where it began, and where it stands.
        self.firsts: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}

    @initialize(owners=OWNERS)
    def begin(self, owners: list[int]) -> None:
        self.rebalance(owners)

    @rule(owners=OWNERS)
    def rebalance(self, owners: list[int]) -> None:
        """Decide for all members; each learns of it at its next poll."""
        for number, worker in enumerate(self.workers):
            worker.notes.append(("revoked", list(PARTITIONS)))
            mine = [partition for partition, owner in zip(PARTITIONS, owners, strict=True) if owner == number]
            worker.notes.append(("assigned", mine))

    @rule(number=WORKERS, records=st.integers(0, 3), fates=st.lists(FATES, max_size=3))
    def work(self, number: int, records: int, fates: list[str]) -> None:
        """Let records arrive, the main thread turn once, and the storage thread try some pieces of work."""
        for partition in PARTITIONS:
            self.ends[partition] += records
        worker = self.workers[number]
        self._collect(worker)
        self._poll(worker)
        if not worker.notes:  # The group knows no more of a member that was expelled.
            worker.ownership.reclaim()
        self._claim(worker)
        worker.ownership.verify()
        self._hand_over(worker)
        for fate in fates:
            self._store(worker, fate)

    @precondition(lambda self: self.orphans)
    @rule(at=st.integers(0, 5))
    def arrive_late(self, at: int) -> None:
        self._execute(self.orphans.pop(at % len(self.orphans)))

    @rule(number=WORKERS)
    def crash(self, number: int) -> None:
        self.workers[number] = Worker()

    @rule(back=st.integers(1, 3))
    def lose_commits(self, back: int) -> None:
        """Let the database come back without its last commits; no connection outlives that."""
        self.orphans.clear()
        self.past = self.past[:-back]
        self.database = copy.deepcopy(self.past[-1]) if self.past else Database()

    @invariant()
    def every_record_before_a_stored_offset_has_its_row(self) -> None:
        for partition, row in self.database.offsets.items():
            assert set(range(row.next_offset)) <= self.database.rows[partition]

    @initialize(back=st.integers(0, 3))
    def choose_the_last_loss(self, back: int) -> None:
        self.last_loss = back

    def teardown(self) -> None:
        """Once misfortunes end, all is stored in a few turns; so is what the database loses after that."""
        while self.orphans:
            self._execute(self.orphans.pop())
        self.rebalance([0, 1])
        for loss in (self.last_loss, 0):
            for _ in range(50):
                for number in range(len(self.workers)):
                    self.work(number, 0, ["answered"] * 3)
            if loss:
                self.lose_commits(loss)
        for partition, end in self.ends.items():
            assert self.database.offsets[partition].next_offset == end
            assert self.database.rows[partition] == set(range(end))

    def _store(self, worker: Worker, fate: str) -> None:
        """Send the first piece of work, unless it is a claim that was withdrawn."""
        if not worker.queue:
            return
        work = worker.queue[0]
        if isinstance(work, Claim) and not work.wanted:
            worker.queue.popleft()
        elif fate == "hangs":
            self.orphans.append(work)
        else:
            answer = self._execute(work)
            if fate == "answered":
                worker.queue.popleft()
                worker.done.append(answer)

    def _poll(self, worker: Worker) -> None:
        while worker.notes:
            kind, partitions = worker.notes.popleft()
            worker.batch.difference_update(partitions)
            (worker.ownership.assign if kind == "assigned" else worker.ownership.revoke)(partitions)
        for partition, owned in worker.ownership.owned.items():
            if owned.received < self.ends[partition]:
                owned.received = min(self.ends[partition], owned.received + 4)
                worker.batch.add(partition)

    def _claim(self, worker: Worker) -> None:
        # A partition that nobody knows begins at 0; where another worker stands is in Kafka, and may be ahead.
        claims = [
            Claim(item, self.firsts.get(item, self.committed.get(item, 0)), None, self.firsts.get(item))
            for item in sorted(worker.ownership.unclaimed)
        ]
        worker.ownership.ask(claims)
        worker.queue += claims

    def _hand_over(self, worker: Worker) -> None:
        if worker.batch or worker.ownership.unsent:
            chunk = Chunk(next_offsets={item: worker.ownership.owned[item].received for item in worker.batch})
            worker.batch = set()
            worker.ownership.mark(chunk)
            worker.queue.append(chunk)

    def _collect(self, worker: Worker) -> None:
        while worker.done:
            done = worker.done.popleft()
            if isinstance(done, Chunk):
                worker.batch -= worker.ownership.settle(done)
                self.committed |= worker.ownership.stored_offsets
            elif worker.ownership.awaits(done):
                self.firsts.setdefault(done.claim.partition, done.next_offset)
                worker.ownership.begin(done, done.next_offset)

    def _execute(self, work: Work) -> Done:
        answer = self.database.store(work) if isinstance(work, Chunk) else self.database.claim(work)
        if not self.past or vars(self.past[-1]) != vars(self.database):
            self.past.append(copy.deepcopy(self.database))
        return answer


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=500, stateful_step_count=30)

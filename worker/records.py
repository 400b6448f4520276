"""What travels through the worker: a record of Kafka, the utterance in it, and the chunk both belong to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.transcripts import Transcript


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Protocol):
    """A record as the Kafka client gives it; only the source knows which client that is."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - the names say it all.
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch, or -1."""
        ...

    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Any:
        """Pairs of a name and bytes, or nothing."""
        ...


class Utterance(Struct, gc=False):
    """A decoded record."""

    record: Any
    """The Record it came from."""
    transcript: Transcript
    id: str
    text: str
    """Normalized: what the model sees. Empty text is not classified."""
    emotions: list[str] | None = None
    """Those assigned, once it is classified."""
    scores: list[float] | None = None
    """Probabilities in the order of EMOTIONS; None for an empty text."""


class Rejected(NamedTuple):
    """A record that cannot become a row, and why."""

    record: Record
    stage: str
    """decode, classify or store."""
    error: BaseException


@dataclass(slots=True)
class Chunk:
    """The records of one transaction and of one commit; without any, it moves offsets over what is no record."""

    utterances: list[Utterance] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    """Where each partition is read on: the offset after its last record, or the end of a gap."""
    epochs: dict[Partition, int] = field(default_factory=dict)
    """The claim under which each partition was read."""
    opened_at: float = field(default_factory=time.monotonic)
    """When its first record came in, on the monotonic clock."""
    model_version: str = ""
    """The model that classified it."""

    def __len__(self) -> int:
        """Return how many records it holds."""
        return len(self.utterances) + len(self.rejected)

    def parts(self, count: int) -> dict[int, "Chunk"]:
        """Part the chunk by partition: a partition always belongs to the same one of ``count`` parts.

        Returns:
            The parts that hold something, by number; at least one.
        """
        numbers = {lane(partition, count) for partition in self.next_offsets}
        if len(numbers) <= 1:
            return {next(iter(numbers), 0): self}
        parts = {
            number: Chunk(opened_at=self.opened_at, model_version=self.model_version) for number in sorted(numbers)
        }
        for item in self.utterances:
            parts[lane(partition_of(item.record), count)].utterances.append(item)
        for rejected in self.rejected:
            parts[lane(partition_of(rejected.record), count)].rejected.append(rejected)
        for partition, offset in self.next_offsets.items():
            part = parts[lane(partition, count)]
            part.next_offsets[partition] = offset
            part.epochs[partition] = self.epochs[partition]
        return parts

    def drop(self, unwanted: Callable[[Partition], bool]) -> None:
        """Forget the records of some partitions, which another worker reads now."""
        gone = {partition for partition in self.next_offsets if unwanted(partition)}
        if not gone:
            return
        self.utterances = [item for item in self.utterances if partition_of(item.record) not in gone]
        self.rejected = [item for item in self.rejected if partition_of(item.record) not in gone]
        for partition in gone:
            self.next_offsets.pop(partition)
            self.epochs.pop(partition, None)


@dataclass(frozen=True, slots=True)
class Claim:
    """The request to own a partition from now on; the answer says where to read on."""

    partition: Partition
    start: int
    """Where to begin when the database knows nothing of the partition."""
    topic_id: str | None
    """Kafka's id of the topic, which tells a topic that was made anew; None where the broker has none."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim."""

    claim: Claim
    epoch: int
    next_offset: int
    topic_id: str | None
    """Id of the topic that ``next_offset`` belongs to."""

    @property
    def made_anew(self) -> bool:
        """Whether the topic was deleted and made anew, so that ``next_offset`` says nothing of the new one."""
        return None not in {self.topic_id, self.claim.topic_id} and self.topic_id != self.claim.topic_id


class Classifier(Protocol):
    """What the pipeline asks of a model."""

    @property
    def version(self) -> str:
        """Written into each row."""
        ...

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """One for each of EMOTIONS."""
        ...

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return probabilities, shape (len(texts), 7).

        Raises:
            RejectedData: the model fails on something in these texts.
        """
        ...


def lane(partition: Partition, count: int) -> int:
    """Return which of ``count`` lanes a partition belongs to, always the same."""
    return partition.partition % count


def partition_of(record: Record) -> Partition:
    """Return where a record comes from."""
    return Partition(record.topic, record.partition)

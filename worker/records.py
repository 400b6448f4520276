"""What travels through the worker: a record of Kafka, the utterance in it, and the chunk both belong to."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.decisions import Rule
from schemas.parts import Cut
from schemas.transcripts import Transcript

ANOTHER_LANGUAGE: Final = "language"
"""Why a transcript has no scores: it names another language than the model's, whose scores would mean nothing."""


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Identity(NamedTuple):
    """What tells a transcript from all others: no two rows share it."""

    transcript_id: str
    source: str


class Gap(NamedTuple):
    """A place where the log cannot be read on."""

    why: str
    """The reason, for the operator."""
    go_on_at: int | None = None
    """The first offset behind it; None where only an end of the log is sure to be readable."""


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
    """A decoded record; where a record becomes several rows, one part of it, and the first holds the rest."""

    record: Any
    """The Record it came from."""
    transcript: Transcript
    id: str
    text: str
    """Normalized: what the model sees. Empty text is not classified."""
    timestamp: int = -1
    """When its record was first in Kafka, in milliseconds since the epoch; -1 where that is unknown."""
    emotions: list[str] | None = None
    """Those assigned, once it is classified."""
    scores: list[float] | None = None
    """Probabilities in the order of EMOTIONS; None for an empty text."""
    windows: int = 1
    """In how many windows the model read the text; more than one where it is longer than the model reads at once."""
    message_id: str | None = None
    """Id of the record that it is a part of; None where the record is one row."""
    part: int | None = None
    """Number of the part, from 1."""
    cut: Cut | None = None
    """How the part was cut out of the record's text."""
    rest: tuple["Utterance", ...] = ()
    """The further parts of its record, where it is the first."""
    not_scored: str | None = None
    """Why the model was not asked, where it was not: `ANOTHER_LANGUAGE`."""

    @property
    def is_scored(self) -> bool:
        """Whether the model is asked: it is not where nothing was said, or in another language."""
        return bool(self.text) and self.not_scored is None

    @property
    def source(self) -> str:
        """Where it was said; the topic's name where the message does not say."""
        return self.transcript.source or str(self.record.topic)

    @property
    def identity(self) -> Identity:
        """What tells its row from all others."""
        return Identity(self.id, self.source)


def all_parts(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return each utterance and the further parts of its record, in order."""
    parts = []
    for item in utterances:
        parts.append(item)
        if item.rest:
            parts += item.rest
    return parts


class Rejected(NamedTuple):
    """A record that cannot become rows, and why."""

    record: Record
    stage: str
    """decode, classify or store."""
    error: BaseException


class Written(NamedTuple):
    """What a chunk's transaction has done to `emotion_results`."""

    rows: int = 0
    """Rows written."""
    overwritten: int = 0
    """Rows of one session that a message of another session overwrote."""
    outdated: int = 0
    """Records that were left out, since the row is of a newer record."""
    deleted: int = 0
    """Rows that tombstones deleted, or that a message had before it came again in fewer parts."""
    erased: int = 0
    """Records that were left out, since they were erased for good."""

    def plus(self, **more: int) -> "Written":
        """Return the sum of both."""
        return Written(*map(sum, zip(self, Written(**more), strict=True)))


@dataclass(slots=True)
class Chunk:
    """The records of one transaction and of one commit; without any, it moves offsets over what is no record."""

    utterances: list[Utterance] = field(default_factory=list)
    """One a record."""
    rejected: list[Rejected] = field(default_factory=list)
    tombstones: list[Record] = field(default_factory=list)
    """Records without a value."""
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    """Where each partition is read on: the offset after its last record, or the end of a gap."""
    expected: dict[Partition, int] = field(default_factory=dict)
    """The stored offset that the database must hold before the chunk."""
    epochs: dict[Partition, int] = field(default_factory=dict)
    """Number of the claim under which each partition was read."""
    fenced: dict[Partition, int] = field(default_factory=dict)
    """Partitions that the database refused, with the number of the claim it refused; their records were dropped."""
    fenced_records: int = 0
    """How many records were dropped with them."""
    opened_at: float = field(default_factory=time.monotonic)
    """When its first record came in, on the monotonic clock."""
    model_version: str = ""
    """The model that classified it."""
    convention: str = ""
    """The convention of labels that it followed."""
    trace: object = None
    """Context of its spans, where chunks are traced."""
    written: Written = field(default_factory=Written)
    """What became of its records, once it is stored."""

    def __len__(self) -> int:
        """Return how many records it holds."""
        return len(self.utterances) + len(self.rejected) + len(self.tombstones)

    @property
    def only_asks(self) -> bool:
        """Whether it moves nothing, and asks the database where it stands."""
        return bool(self.next_offsets) and self.next_offsets == self.expected

    def parts(self, count: int) -> dict[int, "Chunk"]:
        """Part the chunk by partition: a partition always belongs to the same one of ``count`` parts.

        Returns:
            The parts that hold something, by number; at least one.
        """
        numbers = {storage_index(partition, count) for partition in self.next_offsets}
        if len(numbers) <= 1:
            return {next(iter(numbers), 0): self}
        parts = {
            number: Chunk(
                opened_at=self.opened_at,
                model_version=self.model_version,
                convention=self.convention,
                trace=self.trace,
            )
            for number in sorted(numbers)
        }
        for item in self.utterances:
            parts[storage_index(partition_of(item.record), count)].utterances.append(item)
        for rejected in self.rejected:
            parts[storage_index(partition_of(rejected.record), count)].rejected.append(rejected)
        for record in self.tombstones:
            parts[storage_index(partition_of(record), count)].tombstones.append(record)
        for partition, offset in self.next_offsets.items():
            part = parts[storage_index(partition, count)]
            part.next_offsets[partition] = offset
            part.expected[partition] = self.expected[partition]
            part.epochs[partition] = self.epochs[partition]
        return parts

    def drop(self, unwanted: Callable[[Partition], bool]) -> int:
        """Forget the records of some partitions, which their owner reads again.

        Returns:
            How many records were dropped.
        """
        gone = {partition for partition in self.next_offsets if unwanted(partition)}
        if not gone:
            return 0
        before = len(self)
        self.utterances = [item for item in self.utterances if partition_of(item.record) not in gone]
        self.rejected = [item for item in self.rejected if partition_of(item.record) not in gone]
        self.tombstones = [record for record in self.tombstones if partition_of(record) not in gone]
        for partition in gone:
            self.next_offsets.pop(partition)
            self.expected.pop(partition, None)
            self.epochs.pop(partition, None)
        return before - len(self)


class Classifier(Protocol):
    """What the pipeline asks of a model."""

    @property
    def version(self) -> str:
        """Written into each row."""
        ...

    @property
    def convention(self) -> str:
        """Of its labels; written into each row."""
        ...

    @property
    def language(self) -> str:
        """Tag of the language that it was made for."""
        ...

    @property
    def rule(self) -> Rule:
        """Decides which emotions are assigned."""
        ...

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return probabilities, shape (len(texts), 7).

        Raises:
            RejectedData: the model fails on something in these texts.
        """
        ...

    def classify_windows(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Return probabilities as `classify` does, and in how many windows each text was read.

        Raises:
            RejectedData: the model fails on something in these texts.
        """
        ...


def storage_index(partition: Partition, count: int) -> int:
    """Return which of ``count`` lanes a partition belongs to, always the same."""
    return partition.partition % count


def partition_of(record: Record) -> Partition:
    """Return where a record comes from."""
    return Partition(record.topic, record.partition)


def known_timestamp(timestamp: int) -> int:
    """Return a timestamp that Postgres can hold; what is below -1 is unknown, as -1 is."""
    return min(max(-1, timestamp), 2**63 - 1)

"""Records that break Kafka's own rules: batches that cannot be read, and names of headers that are no text."""

from typing import Any, Final, Self

from kafka import TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

_NEWEST_FORMAT: Final = 2
"""Of batches; the client (3.0.12) takes a newer one for this one."""
_HEAD: Final = 27
"""Bytes of a batch up to its last offset. Source: Kafka's documentation, Record Batch."""
_OFFSET: Final = 8
"""Bytes of an offset, with which a batch begins."""
_FORMAT_AT: Final = 16


class HeaderName(str):
    """A record header's name that is no UTF-8: it reads with backslashes, and is sent as the bytes that it is."""

    __slots__ = ("_raw",)

    _raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        """Make a name of its bytes."""
        name = super().__new__(cls, raw.decode("utf-8", "backslashreplace"))
        name._raw = raw
        return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002 - as str has it.
        """Return the bytes that it is, for the producer."""
        return self._raw


class ForgivingBytes(bytearray):
    """Bytes whose slices can always be decoded."""

    def __getitem__(self, place: Any) -> Any:
        taken = super().__getitem__(place)
        return ForgivingBytes(taken) if isinstance(place, slice) else taken

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the text, or a name that keeps the bytes."""
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return HeaderName(bytes(self))


class UnreadableBatch(KafkaError):  # type: ignore[misc]  # kafka-python has no types
    """A batch of records that the client cannot read, by any fault of its bytes.

    `KafkaConsumer.poll` raises it once the records before it were delivered, and again each time it gets there, until
    the consumer is sent elsewhere. Other partitions are read on.

    Attributes:
        partition: the partition that holds it.
        offset: the first offset that is not read.
        go_on_at: the offset after the batch, or None where its bytes do not say.
        why: the fault.
    """

    def __init__(self, partition: TopicPartition, offset: int, go_on_at: int | None, error: Exception) -> None:
        self.partition = partition
        self.offset = offset
        self.go_on_at = go_on_at
        self.why = " ".join(f"{type(error).__name__}: {' '.join(map(str, error.args))}".split())
        place = f"{partition.topic}[{partition.partition}] from offset {offset}"
        super().__init__(f"{place} to {'where nobody knows' if go_on_at is None else go_on_at - 1}: {self.why}")


class Batches:
    """The batches of an answer, which know where the next one begins."""

    def __init__(self, records: Any, known_end: int) -> None:
        self._records = records
        self._known_end = known_end
        self._head = b""

    def next_batch(self) -> Any:
        """Return the next batch as the client reads it, or None after the last.

        Raises:
            CorruptRecordError: it is too short to be one, or of a format that is yet to come.
        """
        coming = self._records._next_slice  # noqa: SLF001 - the client does not say it.
        self._head = bytes(coming[:_HEAD]) if coming else b""
        batch = self._records.next_batch()
        if batch is not None and not 0 <= batch.magic <= _NEWEST_FORMAT:
            raise CorruptRecordError(f"batches of format {batch.magic} are unknown")
        return batch

    def offset_after(self, offset: int) -> int | None:
        """Return the offset after the batch that came last, if it lies after a given one and within the log."""
        records = self._records
        rest = records._next_slice or memoryview(records._buffer)[records._pos :]  # noqa: SLF001 - as above.
        # Where the next one begins is surer than the batch's own words, which may be where its fault is.
        candidates = [_number(rest[:_OFFSET])] if len(rest) >= _OFFSET else []
        if len(self._head) == _HEAD:
            newest = self._head[_FORMAT_AT] == _NEWEST_FORMAT
            candidates.append(_number(self._head[:_OFFSET]) + (_number(self._head[-4:]) if newest else 0) + 1)
        return next((each for each in candidates if offset < each <= self._known_end), None)


def _number(raw: bytes | memoryview) -> int:
    return int.from_bytes(raw, "big", signed=True)

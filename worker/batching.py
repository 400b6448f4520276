"""Two sizes of batch: the chunk that is stored together, and the micro-batch of one forward pass."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.normalization import normalize
from schemas.transcripts import InvalidTranscript, decode, record_id
from worker.records import Chunk, Partition, Record, Rejected, Utterance, partition_of


class Batcher:
    """Collect records into a chunk until it is full or its first record has waited long enough.

    Args:
        max_records: records of a full chunk.
        max_wait_s: how long the first record may wait, in seconds.
        clock: monotonic seconds; tests move it.
    """

    def __init__(self, max_records: int, max_wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_records = max_records
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._chunk = Chunk()

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._chunk)

    @property
    def room(self) -> int:
        """How many more records the chunk takes."""
        return self._max_records - len(self._chunk)

    @property
    def due_in(self) -> float | None:
        """Seconds until the chunk must leave, or None when it is empty."""
        if not len(self._chunk):
            return None
        if self.room <= 0:
            return 0.0
        return max(0.0, self._chunk.opened_at + self._max_wait_s - self._clock())

    @property
    def ready(self) -> bool:
        """Whether the chunk should leave now."""
        return self.due_in == 0.0

    def add(self, records: Iterable[Record]) -> None:
        """Decode records, in order, into the chunk."""
        chunk = self._chunk
        if not len(chunk):
            chunk.opened_at = self._clock()
        for record in records:
            try:
                chunk.utterances.append(read(record))
            except InvalidTranscript as error:
                chunk.rejected.append(Rejected(record, "decode", error))
            chunk.next_offsets[partition_of(record)] = record.offset + 1

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget what waits of these partitions: it will be read again, here or elsewhere."""
        self._chunk.drop(set(partitions).__contains__)

    def take(self, epochs: dict[Partition, int]) -> Chunk:
        """Hand over the chunk, marked with the claims under which it was read, and begin the next."""
        chunk, self._chunk = self._chunk, Chunk()
        chunk.epochs = {partition: epochs[partition] for partition in chunk.next_offsets}
        return chunk


def read(record: Record) -> Utterance:
    """Decode and normalize one record.

    Raises:
        InvalidTranscript: the record holds no transcript.
    """
    transcript = decode(record.value, key=record.key, timestamp_ms=record.timestamp)
    name = transcript.id or record_id(record.topic, record.partition, record.offset, record.timestamp)
    return Utterance(record, transcript, name, normalize(transcript.text))


def plan(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[Any]]:
    """Cut texts into micro-batches of similar length, the longest first, so that little is padding.

    Args:
        lengths: tokens of each text, shape (n,).
        max_tokens: budget of a micro-batch, padding included; a longer text goes alone.

    Yields:
        Indices into ``lengths``; each index once over all batches.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        count = max(1, max_tokens // longest)
        yield order[start : start + count]
        start += count

"""Two sizes of batch: the chunk that is stored together, and the micro-batch of one forward pass."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from schemas.normalization import normalize
from schemas.parts import is_whole, parts_of
from schemas.transcripts import InvalidTranscript, decode, record_id
from worker.dead_letters.headers import place_of
from worker.records import Chunk, Partition, Record, Rejected, Utterance, known_timestamp, partition_of

_OBJECTS: Final = 1_500
"""Bytes of the Python objects that a record becomes, without its own bytes and its texts; measured by tracemalloc."""


class Batcher:
    """Collect records into a chunk until it is full or its first record has waited long enough.

    Args:
        max_records: records of a full chunk; a record counts once for each of its parts.
        max_wait_s: how long the first record may wait, in seconds.
        max_bytes: bytes of a full chunk, as `size_of` counts them; a larger record goes alone.
        clock: monotonic seconds; tests move it.
    """

    def __init__(
        self,
        max_records: int,
        max_wait_s: float,
        max_bytes: int = sys.maxsize,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_records = max_records
        self._max_wait_s = max_wait_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._chunk = Chunk()
        self._bytes = self._parts = 0
        self._largest = self._largest_before = 1
        self._most_parts = self._most_parts_before = 1

    def __len__(self) -> int:
        """Return how many records wait."""
        return len(self._chunk)

    @property
    def room(self) -> int:
        """How many records the next poll may bring; 0 when the chunk is full.

        The chunk has place for them if none is larger than the largest of late, nor of more parts. An empty chunk
        takes one of any size.
        """
        by_parts = (self._max_records - self._parts) // max(self._most_parts, self._most_parts_before)
        by_bytes = (self._max_bytes - self._bytes) // max(self._largest, self._largest_before)
        return max(min(by_parts, by_bytes), 0 if len(self._chunk) else 1)

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
            size = size_of(record)
            self._parts += 1
            if record.value is None:
                chunk.tombstones.append(record)
            elif utterance := self._decode(record):
                size += texts_size_of(utterance)
                if utterance.rest:
                    self._parts += len(utterance.rest)
                    self._most_parts = max(self._most_parts, 1 + len(utterance.rest))
            chunk.next_offsets[partition_of(record)] = record.offset + 1
            self._bytes += size
            self._largest = max(self._largest, size)

    def _decode(self, record: Record) -> Utterance | None:
        """Decode a record into the chunk and return what it holds; None where that is no transcript."""
        try:
            utterance = read(record)
        except InvalidTranscript as error:
            self._chunk.rejected.append(Rejected(record, "decode", error))
            return None
        self._chunk.utterances.append(utterance)
        return utterance

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget what waits of these partitions: it will be read again, here or elsewhere."""
        chunk = self._chunk
        chunk.drop(set(partitions).__contains__)
        self._bytes = sum(size_of(item.record) + texts_size_of(item) for item in chunk.utterances)
        self._bytes += sum(map(size_of, (*(item.record for item in chunk.rejected), *chunk.tombstones)))
        self._parts = len(chunk) + sum(len(item.rest) for item in chunk.utterances)

    def take(self) -> Chunk:
        """Hand over the chunk and begin the next."""
        chunk, self._chunk = self._chunk, Chunk()
        self._bytes = self._parts = 0
        # Forgotten over a few chunks, or one large record would keep polls short for ever.
        self._largest, self._largest_before = 1, max(self._largest, self._largest_before // 2)
        self._most_parts, self._most_parts_before = 1, max(self._most_parts, self._most_parts_before // 2)
        return chunk


def read(record: Record) -> Utterance:
    """Decode and normalize one record; of several parts, the first holds the others.

    Raises:
        InvalidTranscript: the record holds no transcript.
    """
    place = place_of(record)
    transcript = decode(record.value, key=record.key, timestamp_ms=place.timestamp)
    name = transcript.id or record_id(*place)
    timestamp = known_timestamp(place.timestamp)
    if is_whole(transcript):
        return Utterance(record, transcript, name, normalize(transcript.text), timestamp)
    parts = [
        Utterance(record, part, part.id or name, normalize(part.text), timestamp, message_id=name, part=number, cut=cut)
        for part, number, cut in parts_of(msgspec.structs.replace(transcript, id=name))
    ]
    first = parts[0]
    if len(parts) == 1:
        first.message_id = first.part = first.cut = None
    first.rest = tuple(parts[1:])
    return first


def size_of(record: Record) -> int:
    """Return how many bytes a record takes until it is stored, but for its texts.

    All that was received counts, unknown fields too: a record that the model or the database rejects later becomes
    a dead letter with its original bytes.
    """
    size = _OBJECTS + len(record.value or b"") + len(record.key or b"")
    if record.headers:
        size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return size


def texts_size_of(utterance: Utterance) -> int:
    """Return how many bytes the texts take, as received and as normalized, and what further parts take."""
    transcript = utterance.transcript
    size = sum(map(sys.getsizeof, (transcript.text, utterance.text, transcript.attributes)))
    if utterance.rest:
        size += sum(map(texts_size_of, utterance.rest)) + len(utterance.rest) * _OBJECTS
    return size

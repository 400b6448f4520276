"""Chunks as the batcher makes them, without Kafka; and the settings they are stored under."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from worker.batching import Batcher
from worker.records import Chunk, Partition, partition_of

TOPIC = "transcripts"


class Message(NamedTuple):
    """A record as the Kafka client gives it."""

    offset: int
    value: bytes | None
    partition: int = 0
    topic: str = TOPIC
    timestamp: int = 1_700_000_000_000
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def message(offset: int, text: str, *, partition: int = 0, **fields: Any) -> Message:
    """Make a record that holds a transcript."""
    return Message(offset, msgspec.json.encode({"text": text, **fields}), partition)


def tombstone(offset: int, key: bytes | None, *, timestamp: int = Message._field_defaults["timestamp"]) -> Message:
    """Make a record without a value."""
    return Message(offset, None, key=key, timestamp=timestamp)


def chunk_of(messages: Iterable[Message], epochs: dict[Partition, int] | None = None) -> Chunk:
    """Decode records into a chunk that follows on what is stored; epoch 1 is that of the first claim."""
    messages = list(messages)
    batcher = Batcher(len(messages), 0)
    batcher.add(messages)
    chunk = batcher.take()
    chunk.epochs = epochs or dict.fromkeys(chunk.next_offsets, 1)
    for each in sorted(messages, key=lambda each: -each.offset):
        chunk.expected[partition_of(each)] = each.offset
    return chunk

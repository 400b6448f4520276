"""Records, utterances and chunks, made by hand, and a bare environment."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from worker.batching import read
from worker.records import Chunk, Partition, Rejected, Utterance, partition_of


@dataclass(frozen=True, slots=True)
class Message:
    """A record as the Kafka client gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def record(
    offset: int, text: str = "да", *, partition: int = 0, timestamp: int = 1_700_000_000_000, **fields: Any
) -> Message:
    """A record that holds a transcript."""
    value = msgspec.json.encode({"text": text, **fields})
    return Message("transcripts", partition, offset, timestamp, None, value)


def bad_record(offset: int, *, partition: int = 0) -> Message:
    """A record that holds no transcript."""
    return Message("transcripts", partition, offset, 1_700_000_000_000, None, b'{"text": ')


def utterances(texts: Iterable[str]) -> list[Utterance]:
    """Utterances of one partition, from offset 0 on."""
    return [read(record(offset, text)) for offset, text in enumerate(texts)]


def chunk_of(items: list[Utterance], rejected: Iterable[Rejected] = ()) -> Chunk:
    """A chunk of utterances and rejected records, with its offsets and with claims of epoch 1."""
    chunk = Chunk(items, list(rejected))
    records = [item.record for item in chunk.utterances] + [item.record for item in chunk.rejected]
    for each in sorted(records, key=lambda each: each.offset):
        chunk.expected.setdefault(partition_of(each), each.offset)
        chunk.next_offsets[partition_of(each)] = each.offset + 1
    chunk.epochs = dict.fromkeys(chunk.next_offsets, 1)
    return chunk


def partition(number: int) -> Partition:
    """A partition of the topic that the records come from."""
    return Partition("transcripts", number)


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine's own settings out of the environment."""
    for name in os.environ:
        if name.upper().startswith(("WORKER_", "TRAINING_")):
            monkeypatch.delenv(name)

"""What the headers of a record say: why it was rejected, and which record it is, wherever it is published again."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from worker.records import Record, Rejected

# Kafka Connect's names; source: KIP-298, Error Handling in Connect.
HEADER_PREFIX: Final = "__connect.errors."
REPLAY_OF: Final = "asr-emotions.replay-of"
"""Header of a replayed record: the place at which it was read first."""

REPLAYED: Final = "asr-emotions.replayed"
"""Header of a record that is no letter: it says which letters of its partition were replayed."""

_MESSAGE_CHARACTERS: Final = 1_000
_PLACE: Final = re.compile(rb"([A-Za-z0-9._-]{1,249})/(\d{1,10})/(\d{1,19})/(-?\d{1,19})")


class Place(NamedTuple):
    """Where and when a record was first in Kafka: what tells it from every other record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since the epoch, or -1."""

    @property
    def header(self) -> tuple[str, bytes]:
        """The header by which a record says that it was first here."""
        return REPLAY_OF, "/".join(map(str, self)).encode()


def place_of(record: Record) -> Place:
    """Return where a record was first: a replay of a dead letter is the record that was rejected, not a new one."""
    for name, value in record.headers or ():
        if name == REPLAY_OF and (said := _PLACE.fullmatch(value or b"")):
            topic, *numbers = said.groups()
            return Place(topic.decode(), *map(int, numbers))
    return Place(record.topic, record.partition, record.offset, record.timestamp)


def headers_of(item: Rejected) -> list[tuple[str, bytes]]:
    """Return the headers that say where a record came from and why it failed, after the record's own."""
    place = place_of(item.record)
    said = {
        **{name: str(value) for name, value in place._asdict().items()},
        "stage": item.stage,
        "exception.class.name": type(item.error).__name__,
        "exception.message": str(item.error)[:_MESSAGE_CHARACTERS],
    }
    own = own_headers(item.record.headers or ())
    return own + [(HEADER_PREFIX + name, value.encode("utf-8", "replace")) for name, value in said.items()]


def replayed_header(offsets: Iterable[int]) -> tuple[str, bytes]:
    """Return the header that says which letters of a partition were replayed."""
    return REPLAYED, " ".join(map(str, offsets)).encode()


def replayed_by(headers: Iterable[tuple[str, bytes | None]] | None) -> list[int]:
    """Return which letters of its partition a record says to be replayed, by offset; none for a letter."""
    return [int(offset) for name, value in headers or () if name == REPLAYED for offset in (value or b"").split()]


def own_headers(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    """Return the headers that a record's producer gave it, without those of rejections and replays.

    A header without a value gets an empty one, as the client sends no other.
    """
    return [
        (name, value or b"")
        for name, value in headers
        if not name.startswith(HEADER_PREFIX) and name not in {REPLAY_OF, REPLAYED}
    ]

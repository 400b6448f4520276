"""The dead-letter topic, read: what lies there, why, and which of it was published again."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from worker.dead_letters.headers import HEADER_PREFIX, REPLAYED, Place, own_headers, replayed_by
from worker.dead_letters.selection import EVERY, Selection
from worker.errors import ConfigurationError
from worker.kafka.client import kafka_problems, open_client
from worker.kafka.unreadable import UnreadableBatch
from worker.settings import Settings

log = structlog.get_logger(__name__)

_UNNAMED: Final = "unknown"
_LEADER_TIMEOUT_MS: Final = 30_000
"""How long a partition may have no leader; an election takes a few seconds."""


class DeadLetter(NamedTuple):
    """A record of the dead-letter topic."""

    partition: TopicPartition
    """Where it lies."""
    offset: int
    timestamp: int
    """When it was rejected, in milliseconds since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    replayed_at: int | None
    """When it was published again, in milliseconds since the epoch; None while it waits."""

    @property
    def errors(self) -> dict[str, str]:
        """What the headers say of the failure, without their prefix."""
        return {
            name.removeprefix(HEADER_PREFIX): (value or b"").decode("utf-8", "replace")
            for name, value in self.headers
            if name.startswith(HEADER_PREFIX)
        }

    @property
    def own_headers(self) -> list[tuple[str, bytes]]:
        """The headers that the producer of the rejected record gave it."""
        return own_headers(self.headers)

    @property
    def origin(self) -> Place:
        """The place of the rejected record; that of the letter where the headers know none."""
        said = self.errors
        try:
            return Place(said["topic"], int(said["partition"]), int(said["offset"]), int(said["timestamp"]))
        except (KeyError, ValueError):
            return Place(self.partition.topic, self.partition.partition, self.offset, self.timestamp)

    @property
    def name(self) -> str:
        """Where the rejected record was first."""
        return "{}[{}]@{}".format(*self.origin)

    @property
    def original_timestamp(self) -> int:
        """The timestamp of the rejected record; where the headers know none, when it was rejected."""
        return self.origin.timestamp if self.origin.timestamp >= 0 else self.timestamp

    @property
    def reason(self) -> str:
        """Why the record was rejected, in one line: the stage and what that said."""
        said = self.errors
        return " ".join(f"{said.get('stage', _UNNAMED)}: {said.get('exception.message', _UNNAMED)}".split())

    @property
    def named_key(self) -> str | None:
        """The key as text, or as hexadecimal digits where it is none."""
        if self.key is None:
            return None
        try:
            return self.key.decode()
        except UnicodeDecodeError:
            return self.key.hex()


def read_dead_letters(settings: Settings, which: Selection = EVERY) -> Iterator[DeadLetter]:
    """Yield the dead letters that are in the topic now, oldest first within a partition.

    The topic is read twice, since word of a replay comes after the letters that it speaks of: so memory holds numbers
    of letters, and never all of the letters. A batch that cannot be read is skipped, with a line in the log.

    Raises:
        ConfigurationError: there is no such topic.
        Away: the broker cannot be reached.
    """
    with kafka_problems("read dead letters"), closing(_consumer(settings)) as consumer:
        ends = _ends(consumer, settings.kafka_dead_letter_topic)
        skipped: set[tuple[TopicPartition, int]] = set()
        replayed = {
            (place, offset): record.timestamp
            for place, record in _read(consumer, ends, skipped)
            for offset in replayed_by(record.headers)
        }
        for place, record in _read(consumer, ends, skipped):
            headers = list(record.headers or ())
            if any(name == REPLAYED for name, _ in headers):
                continue
            at = replayed.get((place, record.offset))
            letter = DeadLetter(place, record.offset, record.timestamp, record.key, record.value, headers, at)
            if _fits(letter, which):
                yield letter


def describe_letter(letter: DeadLetter) -> str:
    """Return what `dead-letters list` shows of a letter: three lines."""
    state = "waiting" if letter.replayed_at is None else f"replayed {_moment(letter.replayed_at)}"
    key = "" if letter.key is None else f", key {letter.named_key}"
    rejected = f"rejected {_moment(letter.timestamp)}"
    return f"{letter.name}  {letter.reason}\n    {state}, {rejected}{key}\n    {format_message(letter.value)}"


def format_message(value: bytes | None) -> str:
    """Return a message as the operator sees it."""
    return (value or b"").decode("utf-8", "replace")


def _consumer(settings: Settings) -> KafkaConsumer:
    # What a replay has published is told by a transaction, which counts once it is committed.
    return open_client(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
    )


def _ends(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    """Return where each partition ends."""
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise ConfigurationError(f"there is no topic {topic}: nothing went to the dead letters yet, or it is misspelt")
    consumer.assign(partitions)
    # One by one: of several, the client (3.0.12) answers none where one has no leader.
    return {partition: consumer.end_offsets([partition])[partition] for partition in partitions}


def _read(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], skipped: set[tuple[TopicPartition, int]]
) -> Iterator[tuple[TopicPartition, Any]]:
    """Yield all records up to the ends, and what came meanwhile with the last of them."""
    consumer.seek_to_beginning(*ends)
    while any(_position(consumer, partition) < end for partition, end in ends.items()):
        try:
            polled = consumer.poll(timeout_ms=500)
        except UnreadableBatch as error:
            place = error.partition
            next_offset = error.go_on_at or max(ends[place], error.offset + 1)
            if (place, error.offset) not in skipped:
                log.warning("dead letters that cannot be read are skipped", error=str(error), read_from=next_offset)
                skipped.add((place, error.offset))
            consumer.seek(place, next_offset)
            continue
        for place, records in polled.items():
            yield from ((place, record) for record in records)


def _position(consumer: KafkaConsumer, partition: TopicPartition) -> int:
    """Return the offset that is read next.

    Raises:
        KafkaTimeoutError: nobody leads the partition, and nobody came to.
    """
    position: int | None = consumer.position(partition, timeout_ms=_LEADER_TIMEOUT_MS)
    if position is None:
        raise KafkaTimeoutError(f"no broker leads {partition.topic}[{partition.partition}]")
    return position


def _fits(letter: DeadLetter, which: Selection) -> bool:
    return (
        (which.reason is None or which.reason.casefold() in letter.reason.casefold())
        and (which.key is None or which.key == letter.named_key)
        and (which.since is None or letter.timestamp >= _milliseconds(which.since))
        and (which.until is None or letter.timestamp < _milliseconds(which.until))
    )


def _milliseconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

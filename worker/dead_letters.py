"""The dead-letter topic: records that cannot become rows, kept with the reason and their original bytes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import structlog
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from worker.connection import PRODUCER_OPTIONS, kafka_problems, open_client
from worker.errors import ConfigurationError
from worker.records import Record, Rejected
from worker.settings import Settings

log = structlog.get_logger(__name__)

# Kafka Connect's names; source: KIP-298, Error Handling in Connect.
HEADER_PREFIX: Final = "__connect.errors."
_ACK_TIMEOUT_S: Final = 15.0
_MESSAGE_CHARACTERS: Final = 1_000


class DeadLetters:
    """Send rejected records to the dead-letter topic; used by the storage threads, which share its producer."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.kafka_dead_letter_topic
        with kafka_problems("connect the producer of dead letters"):
            self._producer = open_client(
                KafkaProducer,
                settings,
                **PRODUCER_OPTIONS,
                enable_idempotence=True,
                delivery_timeout_ms=int(_ACK_TIMEOUT_S * 1000),
                request_timeout_ms=int(_ACK_TIMEOUT_S * 1000) // 2,
                max_block_ms=int(_ACK_TIMEOUT_S * 1000),
                metrics_enabled=False,
            )

    def send(self, rejected: Sequence[Rejected]) -> None:
        """Return when the broker has acknowledged every record: only then may the offsets move past them.

        Raises:
            Away: the broker did not acknowledge; some may be in the topic already and will be there twice.
            ConfigurationError: a record with its headers is larger than the topic takes.
        """
        with kafka_problems("send dead letters"):
            futures = [
                self._producer.send(
                    self._topic, value=_value_of(item.record), key=item.record.key, headers=headers_of(item)
                )
                for item in rejected
            ]
            for future in futures:
                future.get(timeout=_ACK_TIMEOUT_S)
        for item in rejected:
            log.warning(
                "record went to the dead letters; replay it once it is repaired",
                reason=str(item.error),
                stage=item.stage,
                topic=item.record.topic,
                partition=item.record.partition,
                offset=item.record.offset,
            )

    def close(self) -> None:
        """Close the producer; nothing is in flight between two calls of `send`."""
        self._producer.close(timeout=2)


def _value_of(record: Record) -> bytes | None:
    # A message must have a key or a value.
    return b"" if record.value is None and record.key is None else record.value


def headers_of(item: Rejected) -> list[tuple[str, bytes]]:
    """Return the headers that say where a record came from and why it failed, after the record's own."""
    said = {
        "topic": item.record.topic,
        "partition": str(item.record.partition),
        "offset": str(item.record.offset),
        "timestamp": str(item.record.timestamp),
        "stage": item.stage,
        "exception.class.name": type(item.error).__name__,
        "exception.message": str(item.error)[:_MESSAGE_CHARACTERS],
    }
    own = [(name, value or b"") for name, value in item.record.headers or () if not name.startswith(HEADER_PREFIX)]
    return own + [(HEADER_PREFIX + name, value.encode("utf-8", "replace")) for name, value in said.items()]


class DeadLetter(NamedTuple):
    """A record of the dead-letter topic."""

    place: TopicPartition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: int

    @property
    def errors(self) -> dict[str, str]:
        """What the headers say of the failure, without their prefix."""
        return {
            name.removeprefix(HEADER_PREFIX): (value or b"").decode("utf-8", "replace")
            for name, value in self.headers
            if name.startswith(HEADER_PREFIX)
        }

    @property
    def original_timestamp(self) -> int:
        """The timestamp of the rejected record; where the headers know none, when it was rejected."""
        said = self.errors.get("timestamp", "")
        return int(said) if said.isdecimal() else self.timestamp


def read_dead_letters(settings: Settings) -> list[DeadLetter]:
    """Return every dead letter that is in the topic now, oldest first within a partition.

    Raises:
        ConfigurationError: there is no such topic.
        Away: the broker cannot be reached.
    """
    with kafka_problems("read dead letters"), _consumer(settings, group=None) as consumer:
        return list(_read(consumer, settings.kafka_dead_letter_topic))


def replay_dead_letters(settings: Settings, repair: Callable[[bytes], bytes | None] | None = None) -> tuple[int, int]:
    """Publish each dead letter, once over all replays, to the topic it came from, with its own timestamp.

    How far replays have come is kept in Kafka, by a consumer group of their own: after each letter, so that what is
    cut short is taken up again there. A crash repeats one letter at most: that which the broker has acknowledged and
    the group has not.

    Args:
        settings: which topics.
        repair: given the original bytes, returns what to publish, or None to leave the record out.

    Returns:
        How many were published and how many were left out.

    Raises:
        ConfigurationError: there is no such topic, or a topic does not take what is to be published.
        Away: the broker cannot be reached; the last letter may be published again.
    """
    published = left_out = 0
    group = f"{settings.kafka_group_id}.replay"
    with kafka_problems("replay dead letters"), _consumer(settings, group) as consumer:
        producer = open_client(KafkaProducer, settings, **PRODUCER_OPTIONS)
        try:
            for letter in _read(consumer, settings.kafka_dead_letter_topic):
                value = repair(letter.value) if repair and letter.value is not None else letter.value
                if value is None:
                    left_out += 1
                else:
                    _publish_again(producer, letter, value, letter.errors.get("topic", settings.kafka_topic))
                    published += 1
                consumer.commit({letter.place: OffsetAndMetadata(letter.offset + 1, "", -1)})
        finally:
            producer.close()
    return published, left_out


def _publish_again(producer: KafkaProducer, letter: DeadLetter, value: bytes, topic: str) -> None:
    own = [(name, item) for name, item in letter.headers if not name.startswith(HEADER_PREFIX)]
    sent = producer.send(topic, value=value, key=letter.key, headers=own, timestamp_ms=letter.original_timestamp)
    sent.get(timeout=_ACK_TIMEOUT_S)


@contextmanager
def _consumer(settings: Settings, group: str | None) -> Iterator[KafkaConsumer]:
    consumer = open_client(KafkaConsumer, settings, group_id=group, enable_auto_commit=False)
    try:
        yield consumer
    finally:
        consumer.close()


def _read(consumer: KafkaConsumer, topic: str) -> Iterator[DeadLetter]:
    """Yield what is in the topic now, from where the group stands, else from the beginning."""
    ends = _rewind(consumer, topic)
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for place, records in consumer.poll(timeout_ms=500).items():
            for each in records:
                yield DeadLetter(place, each.offset, each.key, each.value, list(each.headers or ()), each.timestamp)


def _rewind(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    """Go to where the group stands, else to the beginning, and return where each partition ends."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    if not partitions:
        raise ConfigurationError(f"there is no topic {topic}: nothing went to the dead letters yet, or it is misspelt")
    consumer.assign(partitions)
    beginnings, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        committed = consumer.committed(partition) if consumer.config["group_id"] else None
        consumer.seek(partition, max(committed or 0, beginnings[partition]))
    return dict(ends)

"""Any number of lines can be published, each is acknowledged; where it breaks off, it is said how far it got."""

import gc
from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.producer.future import FutureRecordMetadata

from schemas.transcripts import decode
from worker.forms.naming import Message
from worker.forms.turn import UnreadableFile
from worker.kafka.publish import publish
from worker.settings import Settings

LINES = 25_000


def message(text: str) -> Message:
    value = msgspec.json.encode({"text": text})
    return Message("line 1", value, decode(value, timestamp_ms=0))


def test_memory_does_not_grow_with_the_number_of_lines(kafka: str, topic: str) -> None:
    sent = 0
    waiting: list[int] = []

    def look() -> None:
        nonlocal sent
        sent += 1
        if sent in {LINES // 2, LINES}:
            waiting.append(sum(isinstance(each, FutureRecordMetadata) for each in gc.get_objects()))

    settings = Settings.load(kafka_bootstrap_servers=kafka, kafka_topic=topic)
    messages = (message(f"фраза номер {number}") for number in range(LINES))

    assert publish(messages, settings, on_sent=look) == LINES
    assert len(waiting) == 2
    assert max(waiting) <= 10_000


def test_where_a_pipe_breaks_off_all_before_it_is_published_and_the_error_says_how_far(kafka: str, topic: str) -> None:
    def broken() -> Iterator[Message]:
        yield from (message(f"фраза номер {number}") for number in range(597))
        raise UnreadableFile("standard input, line 601: it is not UTF-8")

    settings = Settings.load(kafka_bootstrap_servers=kafka, kafka_topic=topic)
    with pytest.raises(
        UnreadableFile, match=r"line 601: it is not UTF-8\. The first 597 messages are published, up to "
    ):
        publish(broken(), settings)
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    assert sum(consumer.end_offsets(partitions).values()) == 597
    consumer.close()

"""Any number of lines can be published, each is acknowledged."""

import gc

from kafka.producer.future import FutureRecordMetadata

from worker.publish import publish
from worker.settings import Settings

LINES = 25_000


def test_memory_does_not_grow_with_the_number_of_lines(kafka: str, topic: str) -> None:
    sent = 0
    waiting: list[int] = []

    def look() -> None:
        nonlocal sent
        sent += 1
        if sent in {LINES // 2, LINES}:
            waiting.append(sum(isinstance(each, FutureRecordMetadata) for each in gc.get_objects()))

    settings = Settings.load(kafka_bootstrap_servers=kafka, kafka_topic=topic)
    lines = (f"фраза номер {number}" for number in range(LINES))

    assert publish(lines, settings, on_sent=look) == LINES
    assert len(waiting) == 2
    assert max(waiting) <= 10_000

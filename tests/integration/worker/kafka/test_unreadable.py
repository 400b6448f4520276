"""Records that the client cannot read, or brokers take though they are no text: one consumer, then a worker."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import damage
import pytest
from broker import KafkaBroker
from flow import Flow
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from services import PATIENCE_S, create_topic, wait_for

from worker.kafka import patches  # noqa: F401 - mends the client.
from worker.kafka.unreadable import UnreadableBatch

BATCH: Final = 10
"""Records of each of three batches in each of two partitions."""


class Damaged(NamedTuple):
    """A topic of two partitions, of which the first has a second batch that cannot be read."""

    topic: str
    readable: int
    """Records of that batch that can be read all the same."""
    why: str


class Read(NamedTuple):
    """What a consumer got."""

    offsets: dict[int, list[int]]
    """Of records, by partition."""
    unreadable: list[UnreadableBatch]


DAMAGES: Final[dict[Callable[[bytearray], None], tuple[int, str]]] = {
    damage.flip_a_bit: (0, "crc"),
    damage.claim_another_format: (0, "batches of format 3 are unknown"),
    damage.claim_an_unknown_codec: (0, "Unrecognized compression type: 7"),
    damage.claim_to_be_compressed: (0, "Not a gzipped file"),
    damage.break_the_third_record: (2, "CorruptRecordError"),
}


@pytest.fixture(scope="module")
def damaged_log(mortal_broker: KafkaBroker) -> dict[str, Damaged]:
    """A topic for each kind of damage."""
    if not mortal_broker.running:
        mortal_broker.start()
    topics = {how: create_topic(mortal_broker.bootstrap, partitions=2) for how in DAMAGES}
    producer = KafkaProducer(bootstrap_servers=mortal_broker.bootstrap, linger_ms=1_000)
    for topic in topics.values():
        for _ in range(3):
            for number in range(BATCH):
                for partition in range(2):
                    producer.send(topic, value=b"%d" % number, partition=partition)
            producer.flush()
    producer.close()
    mortal_broker.stop()
    for how, topic in topics.items():
        damage.damage(mortal_broker.segment(topic, 0), BATCH, how)
    mortal_broker.start()
    return {how.__name__: Damaged(topic, *DAMAGES[how]) for how, topic in topics.items()}


@pytest.fixture(params=[how.__name__ for how in DAMAGES])
def damaged(request: pytest.FixtureRequest, damaged_log: dict[str, Damaged]) -> Damaged:
    return damaged_log[request.param]


@pytest.fixture
def consumer(damaged: Damaged, own_broker: KafkaBroker) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(bootstrap_servers=own_broker.bootstrap, group_id=None, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(damaged.topic, number) for number in range(2)])
    yield consumer
    consumer.close()


def read_until(consumer: KafkaConsumer, enough: Callable[[Read], bool], max_records: int = 500) -> Read:
    """Poll on, whatever a poll raises."""
    read = Read({0: [], 1: []}, [])

    def poll() -> bool:
        try:
            for place, records in consumer.poll(timeout_ms=200, max_records=max_records).items():
                read.offsets[place.partition] += [each.offset for each in records]
        except UnreadableBatch as error:
            read.unreadable.append(error)
        return enough(read)

    wait_for(poll, what="what is to be read")
    return read


@pytest.mark.parametrize("max_records", [500, 7])
def test_a_batch_that_cannot_be_read_is_named_and_all_else_is_read(
    consumer: KafkaConsumer, damaged: Damaged, max_records: int
) -> None:
    # Twice, so that what comes after the first time is seen too.
    def enough(read: Read) -> bool:
        return len(read.unreadable) >= 2 and len(read.offsets[1]) == 3 * BATCH

    read = read_until(consumer, enough, max_records)

    before = BATCH + damaged.readable
    assert read.offsets == {0: list(range(before)), 1: list(range(3 * BATCH))}
    for error in read.unreadable:
        assert error.partition == TopicPartition(damaged.topic, 0)
        assert error.offset == before
        assert error.go_on_at == 2 * BATCH
        assert damaged.why in error.why
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("codec", "why", "go_on_at"),
    [
        (damage.PLAIN, "CorruptRecordError", 2),  # Served as it is: the client finds the fault, and the batch's end.
        (damage.GZIP, "UnknownError", None),
        (damage.ZSTD, "InvalidRecordError", None),
    ],
)
def test_what_the_broker_itself_cannot_read_names_its_place_too(
    codec: int, why: str, go_on_at: int | None, own_broker: KafkaBroker
) -> None:
    topic = create_topic(own_broker.bootstrap, partitions=1)
    producer = KafkaProducer(bootstrap_servers=own_broker.bootstrap, acks="all")
    producer.send(topic, value=b"good").get(timeout=PATIENCE_S)
    producer.send(topic, value=b"bad").get(timeout=PATIENCE_S)
    producer.close()
    damage.damage(own_broker.segment(topic, 0), 1, partial(damage.claim_an_old_format, codec=codec))
    consumer = KafkaConsumer(bootstrap_servers=own_broker.bootstrap, group_id=None, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])

    read = read_until(consumer, lambda read: bool(read.unreadable))

    consumer.close()
    assert read.offsets[0] == [0]
    [error] = read.unreadable
    assert (error.offset, error.go_on_at) == (1, go_on_at)
    assert error.why.startswith(why)


def test_past_a_batch_that_cannot_be_read_its_partition_is_read_on(consumer: KafkaConsumer) -> None:
    (error,) = read_until(consumer, lambda read: bool(read.unreadable)).unreadable

    consumer.seek(error.partition, error.go_on_at)

    rest = read_until(consumer, lambda read: len(read.offsets[0]) == BATCH)
    assert rest.offsets[0] == list(range(2 * BATCH, 3 * BATCH))
    assert not rest.unreadable


def test_a_partition_that_is_paused_at_a_batch_that_cannot_be_read_holds_up_no_other(
    consumer: KafkaConsumer, damaged: Damaged
) -> None:
    (error,) = read_until(consumer, lambda read: bool(read.unreadable)).unreadable
    consumer.pause(error.partition)
    other = TopicPartition(damaged.topic, 1)
    consumer.seek(other, 0)

    assert not read_until(consumer, lambda read: len(read.offsets[1]) == 3 * BATCH).unreadable

    consumer.resume(error.partition)
    (again,) = read_until(consumer, lambda read: bool(read.unreadable)).unreadable
    assert again.offset == error.offset


class RawName(str):
    """A header's name that is sent as bytes which are no UTF-8, as producers in other languages may."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002 - as str has it.
        return b"caf\xe9-" + super().encode()


def read_headers(bootstrap: str, topic: str, count: int) -> list[list[tuple[str, bytes]]]:
    """Return the headers of a topic's first records, in order."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    headers: list[Any] = []

    def poll() -> bool:
        for records in consumer.poll(timeout_ms=200).values():
            headers.extend(each.headers for each in records)
        return len(headers) >= count

    wait_for(poll, what="the records")
    consumer.close()
    return headers


def test_a_headers_name_that_is_no_utf8_is_read_and_can_be_sent_on_as_it_was(kafka: str, topic: str) -> None:
    headers = [("plain", b"1"), (RawName("x"), b"2"), ("имя", b"3")]
    producer = KafkaProducer(bootstrap_servers=kafka)
    for own in ([], headers, [("after", b"")]):
        producer.send(topic, value=b"{}", headers=own, partition=0)
    producer.flush()

    first = read_headers(kafka, topic, 3)
    producer.send(topic, value=b"{}", headers=first[1], partition=0).get(timeout=PATIENCE_S)
    producer.close()
    sent_on = read_headers(kafka, topic, 4)[3]

    assert first == [[], [("plain", b"1"), (r"caf\xe9-x", b"2"), ("имя", b"3")], [("after", b"")]]
    assert [(name.encode(), value) for name, value in sent_on] == [(name.encode(), value) for name, value in headers]


@pytest.fixture
def damaged_flow(
    damaged_log: dict[str, Damaged], own_broker: KafkaBroker, postgres_url: str, tmp_path: Path
) -> Iterator[Flow]:
    """A flow whose topic has a batch with a wrong checksum; its records are no transcripts."""
    flow = Flow(own_broker.bootstrap, damaged_log["flip_a_bit"].topic, postgres_url, tmp_path)
    yield flow
    flow.close()


def test_a_worker_stores_what_comes_before_a_batch_that_cannot_be_read_and_stops_with_one_line(
    damaged_flow: Flow,
) -> None:
    worker = damaged_flow.start()
    assert worker.wait() == 2
    assert damaged_flow.query("SELECT next_offset FROM consumer_offsets WHERE partition = 0") == BATCH
    [line] = [line for line in worker.log if line["level"] == "error"]
    assert (
        f"{damaged_flow.topic}[0]: the records from offset {BATCH} to {2 * BATCH - 1} cannot be read" in line["event"]
    )
    assert "WORKER_KAFKA_OFFSET_OUT_OF_RANGE" in line["event"]


def test_a_worker_that_may_skip_goes_on_behind_a_batch_that_cannot_be_read(damaged_flow: Flow) -> None:
    worker = damaged_flow.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="earliest")
    wait_for(damaged_flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0
    assert len(damaged_flow.dead_letters()) >= 5 * BATCH


def test_a_worker_stores_a_record_whose_header_has_a_name_that_is_no_utf8(flow: Flow) -> None:
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    for value in (b'{"text": "\xd0\xb4\xd0\xb0"}', b"no transcript"):
        producer.send(flow.topic, value=value, headers=[(RawName("x"), b"2")]).get(timeout=PATIENCE_S)
    producer.close()
    worker = flow.start()
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0
    assert flow.count() == 1
    [letter] = flow.dead_letters()
    assert letter.value == b"no transcript"

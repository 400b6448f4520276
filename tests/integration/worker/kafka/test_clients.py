"""Clients of Kafka leave nothing behind: not when no broker is there, and not when they are closed."""

import gc
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from services import PATIENCE_S, dead_letters_of, wait_for

from worker.dead_letters.read import read_dead_letters
from worker.dead_letters.replay import replay_dead_letters
from worker.dead_letters.send import DeadLetters
from worker.errors import Away
from worker.forms.naming import Message
from worker.kafka.client import kafka_problems, open_client
from worker.kafka.consumer import KafkaSource
from worker.kafka.publish import publish
from worker.kafka.topics import require_topic
from worker.settings import Settings

TRIES = 3
OPENINGS: dict[str, Callable[[Settings], object]] = {
    "source": KafkaSource,
    "dead letters": DeadLetters,
    "dead letters, read": lambda settings: list(read_dead_letters(settings)),
    "dead letters, replayed": replay_dead_letters,
    "topic": lambda settings: require_topic(settings, settings.kafka_topic),
    "publish": lambda settings: publish([Message("line 1", b'{"text": "\xd0\xb4\xd0\xb0"}', None)], settings),
}


def held() -> Counter[str]:
    """What the process holds: threads by name, and descriptors."""
    threads = Counter(thread.name for thread in threading.enumerate())
    return threads + Counter({"descriptors": psutil.Process().num_fds()})


@contextmanager
def nothing_left() -> Iterator[None]:
    """Compare before and after, with no garbage collector to clear up in between; a thread may take a while to end."""
    gc.collect()
    before = held()
    gc.disable()
    try:
        yield
        wait_for(lambda: held() <= before, "all to be given back")
    finally:
        gc.enable()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.kafka.patches.FIRST_CONTACT_MS", 300)


@contextmanager
def no_broker() -> Iterator[int]:
    """A port where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    yield port


@contextmanager
def silent_broker() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@contextmanager
def leaving_broker() -> Iterator[int]:
    """A port that takes connections and ends them."""
    ended = threading.Event()

    def hang_up() -> None:
        while not ended.is_set():
            server.accept()[0].close()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=hang_up, name="leaving broker", daemon=True)
        thread.start()
        try:
            yield port
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(PATIENCE_S)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_who_waits_for_an_absent_broker_holds_no_more_the_longer_it_takes(
    opening: Callable[[Settings], object],
) -> None:
    with no_broker() as port:
        settings = Settings.load(kafka_bootstrap_servers=f"127.0.0.1:{port}")
        with nothing_left():
            for _ in range(TRIES):
                with pytest.raises(Away):
                    opening(settings)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", [KafkaConsumer, KafkaProducer, KafkaAdminClient])
@pytest.mark.parametrize(
    ("broker", "protocol"),
    [(broker, protocol) for broker in (silent_broker, leaving_broker) for protocol in ("PLAINTEXT", "SSL")],
)
def test_a_broker_that_does_not_answer_leaves_no_more_behind(
    broker: Callable[[], AbstractContextManager[int]], protocol: str, kind: Callable[..., object]
) -> None:
    with broker() as port:
        settings = Settings.load(kafka_bootstrap_servers=f"127.0.0.1:{port}", kafka_security_protocol=protocol)
        with nothing_left():
            for _ in range(TRIES):
                with pytest.raises(Away), kafka_problems("connect"):
                    open_client(kind, settings)


def settings_for(kafka: str, topic: str) -> Settings:
    return Settings.load(
        kafka_bootstrap_servers=kafka, kafka_topic=topic, kafka_dead_letter_topic=dead_letters_of(topic)
    )


def test_a_broker_that_goes_after_the_first_contact_leaves_nothing_of_the_source(
    kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: KafkaConsumer) -> None:
        raise KafkaTimeoutError

    monkeypatch.setattr(KafkaConsumer, "topics", fail)
    settings = settings_for(kafka, topic)
    with nothing_left(), pytest.raises(Away):
        KafkaSource(settings)


def test_what_is_closed_leaves_nothing_behind(kafka: str, topic: str) -> None:
    settings = settings_for(kafka, topic)
    with nothing_left():
        require_topic(settings, topic)
        DeadLetters(settings).close()
        KafkaSource(settings).close(5)


def test_a_partition_that_waited_while_another_was_read_is_read_on(kafka: str, topic: str) -> None:
    """So it is with partitions that are claimed one after the other: what was fetched of the last must not be lost."""
    producer = KafkaProducer(bootstrap_servers=kafka)
    for number in range(200):
        producer.send(topic, value=b"%d" % number, partition=number % 2)
    producer.close()
    with closing(open_client(KafkaConsumer, settings_for(kafka, topic))) as consumer:
        first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
        consumer.assign([first, second])
        consumer.seek_to_beginning()
        left = {first: 100, second: 100}

        def read_some() -> set[TopicPartition]:
            polled = consumer.poll(timeout_ms=100, max_records=10)
            for partition, records in polled.items():
                left[partition] -= len(records)
            return set(polled)

        (paused,) = wait_for(read_some, what="the first records")
        consumer.pause(paused)
        other = second if paused == first else first
        wait_for(lambda: not read_some() and left[other] == 0, what="all of the other partition")
        consumer.resume(paused)
        wait_for(lambda: not read_some() and left[paused] == 0, what="the rest of the first")

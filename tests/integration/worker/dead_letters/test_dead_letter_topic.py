"""The topic of dead letters, and the broker it lies on, may hang, vanish or be the wrong kind while the worker runs."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from broker import KafkaBroker
from chunks import Message
from commands import emotion_worker
from damage import damage, flip_a_bit
from fakes import POISON
from flow import BAD, Flow, WorkerProcess
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidRecordError
from services import PATIENCE_S, create_topic, dead_letters_of, wait_for

from worker.dead_letters.headers import HEADER_PREFIX
from worker.dead_letters.send import DeadLetters
from worker.errors import Away
from worker.records import Rejected
from worker.settings import Settings

pytestmark = pytest.mark.kafka

COMPACT = {"cleanup.policy": "compact"}


@pytest.fixture
def fragile_flow(own_broker: KafkaBroker, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    """A flow whose broker the test may freeze."""
    flow = Flow(own_broker.bootstrap, create_topic(own_broker.bootstrap), postgres_url, tmp_path)
    yield flow
    flow.close()


@pytest.fixture
def admin(flow: Flow) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    yield admin
    admin.close()


def assert_it_stops_with(worker: WorkerProcess, complaint: str) -> None:
    assert worker.wait() == 2
    assert "Traceback" not in worker.output()
    (said,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert complaint in said


def refuses_records_without_a_key(bootstrap: str, topic: str) -> bool:
    """Whether the broker compacts the topic by now: its answer to an alteration comes earlier."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        producer.send(topic, b"no key").get(PATIENCE_S)
    except InvalidRecordError:
        return True
    finally:
        producer.close()
    return False


def test_dead_letters_and_rows_go_on_at_once_when_a_broker_that_hung_is_back(
    fragile_flow: Flow, own_broker: KafkaBroker
) -> None:
    first, second = (json.dumps({"text": f"{POISON} {number}"}).encode() for number in range(2))
    fragile_flow.publish_raw([first])
    worker = fragile_flow.start(STUB_SECONDS="6")
    # Only a producer that has sent something before is hurt by the silence.
    wait_for(fragile_flow.stored_to_the_end, "the first dead letter")
    fragile_flow.publish_raw([second])
    wait_for(lambda: len(worker.said("classifying a chunk")) == 2, "a record that is about to be a dead letter")

    own_broker.freeze()
    try:
        # The client's producer recovers by itself from a shorter silence.
        wait_for(lambda: len(worker.said("a service is away")) >= 2, "a send that fails, and another")
    finally:
        failures = len(worker.said("a service is away"))
        own_broker.thaw()
    fragile_flow.publish(20)

    wait_for(fragile_flow.stored_to_the_end, "the end of the log")
    assert worker.stop() == 0
    assert len(worker.said("a service is away")) <= failures + 1, "more failed than what was under way"
    fragile_flow.assert_each_once()
    assert {letter.value for letter in fragile_flow.dead_letters()} == {first, second}


def test_a_send_whose_producer_another_thread_gives_up_is_tried_again(
    fragile_flow: Flow, own_broker: KafkaBroker
) -> None:
    letters = DeadLetters(
        Settings(
            kafka_bootstrap_servers=fragile_flow.bootstrap, kafka_dead_letter_topic=dead_letters_of(fragile_flow.topic)
        )
    )
    rejected = [Rejected(Message(0, b"{"), "decode", ValueError("no JSON"))]
    producer = letters._writer._producer
    assert producer
    own_broker.freeze()
    try:
        with ThreadPoolExecutor() as threads:
            sent = threads.submit(letters.send, rejected)
            wait_for(lambda: producer._sender._topics_to_add or producer._metadata._topics, "a send under way")
            letters._writer._replace(producer)
            with pytest.raises(Away):
                sent.result()
    finally:
        own_broker.thaw()
    letters.send(rejected)
    letters.close()


def test_letters_around_a_batch_that_cannot_be_read_are_listed_and_replayed(
    fragile_flow: Flow, own_broker: KafkaBroker
) -> None:
    topic = dead_letters_of(fragile_flow.topic)
    producer = KafkaProducer(bootstrap_servers=fragile_flow.bootstrap)
    for number in range(3):
        place = {"topic": fragile_flow.topic, "partition": "0", "offset": str(number), "timestamp": "5"}
        headers = [(f"{HEADER_PREFIX}{name}", value.encode()) for name, value in place.items()]
        producer.send(topic, b'{"text": "%d"}' % number, headers=headers).get(PATIENCE_S)
    producer.close()
    own_broker.stop()
    damage(own_broker.segment(topic, 0), 1, flip_a_bit)
    own_broker.start()

    listed, replayed = (
        emotion_worker("dead-letters", command, **fragile_flow.settings | {"WORKER_LOG_LEVEL": "info"})
        for command in ("list", "replay")
    )

    assert (listed.returncode, replayed.returncode) == (0, 0)
    assert (listed.stdout.count("waiting, "), replayed.stdout.count("published 2 messages again")) == (2, 1)
    for done in (listed, replayed):
        assert done.stderr.count("dead letters that cannot be read are skipped") == 1
        assert f"{topic}[0] from offset 1 to 1" in done.stderr


def test_a_topic_that_is_deleted_while_the_worker_runs_stops_it_with_one_line(
    flow: Flow, admin: KafkaAdminClient
) -> None:
    flow.publish_raw(BAD)
    worker = flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")

    admin.delete_topics([dead_letters_of(flow.topic)])
    wait_for(lambda: dead_letters_of(flow.topic) not in admin.list_topics(), "the deletion")
    flow.publish_raw(BAD)

    assert_it_stops_with(worker, f"there is no topic {dead_letters_of(flow.topic)}")
    assert flow.query("SELECT sum(next_offset) FROM consumer_offsets") == len(BAD)


def test_a_topic_that_is_deleted_and_made_again_takes_dead_letters_as_before(
    flow: Flow, admin: KafkaAdminClient
) -> None:
    topic = dead_letters_of(flow.topic)
    flow.publish_raw(BAD)
    flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")

    admin.delete_topics([topic])
    wait_for(lambda: topic not in admin.list_topics(), what="the deletion")
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.wait_for_topics([topic], timeout_ms=PATIENCE_S * 1000)
    flow.publish_raw(BAD)

    wait_for(flow.stored_to_the_end, "the end of the log")
    assert sorted(letter.value for letter in flow.dead_letters()) == sorted(BAD)


def test_a_compacted_topic_of_dead_letters_is_refused_at_the_start(flow: Flow, admin: KafkaAdminClient) -> None:
    topic = f"{flow.topic}.compacted"
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": COMPACT}})

    assert_it_stops_with(flow.start(WORKER_KAFKA_DEAD_LETTER_TOPIC=topic), f"the topic {topic} is compacted")


def test_a_topic_of_dead_letters_that_is_compacted_later_stops_the_worker_with_one_line(
    flow: Flow, admin: KafkaAdminClient
) -> None:
    worker = flow.start()
    flow.publish(10)
    flow.wait_for_rows(10)

    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, dead_letters_of(flow.topic), COMPACT)])
    wait_for(
        lambda: refuses_records_without_a_key(flow.bootstrap, dead_letters_of(flow.topic)), "the broker to heed it"
    )
    flow.publish_raw(BAD)

    assert_it_stops_with(worker, f"the topic {dead_letters_of(flow.topic)} is compacted")
    assert flow.count() == 10

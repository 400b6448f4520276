"""Where the log has no record at the next offset: a gap in the data, a stale offset, or no data at all."""

import json
import signal
from collections.abc import Callable

import pytest
from flow import Flow
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from probe import Probe
from services import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka


def lose_all(flow: Flow) -> None:
    """Delete every record of the topic, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_records({TopicPartition(flow.topic, number): -1 for number in range(4)})
    admin.close()


def make_anew(flow: Flow) -> None:
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_topics([flow.topic])
    wait_for(lambda: flow.topic not in admin.list_topics(), what="the topic to go")
    admin.create_topics({flow.topic: {"num_partitions": 4, "replication_factor": 1}})
    admin.wait_for_topics([flow.topic], timeout_ms=PATIENCE_S * 1000)
    admin.close()


def store(flow: Flow, count: int) -> None:
    """Publish and have a worker store it."""
    flow.publish(count)
    worker = flow.start()
    flow.wait_for_rows(count)
    assert worker.stop() == 0


def test_records_that_retention_took_are_not_skipped_in_silence(flow: Flow) -> None:
    store(flow, 100)
    flow.publish(100)
    lose_all(flow)

    stopped = flow.start()

    assert stopped.wait() == 2
    assert "WORKER_KAFKA_OFFSET_OUT_OF_RANGE" in stopped.output()


def test_a_recreated_topic_stops_the_worker_until_it_is_told_to_go_on(flow: Flow) -> None:
    store(flow, 100)
    make_anew(flow)
    # More than before, so that the old offsets lie within the new log.
    flow.publish(400)

    stopped = flow.start()
    assert stopped.wait() == 2
    assert "deleted and created again" in stopped.output()
    assert flow.count() == 100

    resumed = flow.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="earliest")
    flow.wait_for_rows(500)
    assert resumed.stop() == 0
    flow.assert_each_once()


def retention(flow: Flow) -> None:
    flow.publish(120)
    lose_all(flow)


def another_topic(flow: Flow) -> None:
    make_anew(flow)
    flow.publish(120)


@pytest.mark.parametrize("gap", [retention, another_topic])
def test_a_gap_is_skipped_once_even_where_the_worker_dies_before_the_next_record(
    flow: Flow, gap: Callable[[Flow], None]
) -> None:
    store(flow, 100)
    gap(flow)
    skipping = flow.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="latest")
    wait_for(flow.stored_to_the_end, what="the skip to be stored")
    skipping.send(signal.SIGKILL)
    skipping.wait()

    flow.publish(50)
    heir = flow.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="latest")

    flow.wait_for_rows(150)
    assert heir.stop() == 0
    assert not heir.said("skipping over a gap")


def test_an_offset_of_kafka_that_is_stale_stops_nothing_and_is_put_right(flow: Flow) -> None:
    store(flow, 100)
    lose_all(flow)
    group = KafkaConsumer(bootstrap_servers=flow.bootstrap, group_id=flow.group, enable_auto_commit=False)
    partitions = [TopicPartition(flow.topic, number) for number in range(4)]
    group.assign(partitions)
    group.commit(dict.fromkeys(partitions, OffsetAndMetadata(0, "", -1)))
    group.close()

    worker = flow.start()

    wait_for(lambda: sum(offset or 0 for offset in flow.committed().values()) == 100, what="Kafka's offsets")
    flow.publish(50)
    flow.wait_for_rows(150)
    assert worker.stop() == 0
    flow.assert_each_once()


def test_marks_of_transactions_at_the_end_of_the_log_are_no_lag(flow: Flow) -> None:
    worker = flow.start(WORKER_STUCK_AFTER_S="1", STUB_HASTY="1")
    probe = Probe(worker)
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap, transactional_id=flow.topic)
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(100):
        producer.send(flow.topic, value=json.dumps({"text": f"фраза номер {number}"}).encode())
    producer.commit_transaction()
    producer.close()
    flow.wait_for_rows(100)

    # The lag is asked for now and then; what comes out of it then stays.
    wait_for(flow.stored_to_the_end, "the marks to be stored")
    wait_for(lambda: probe.lags() == [0] * 4, "no lag in any partition")
    wait_for(lambda: probe.get("/healthz") == (200, "ok\n"), "health")
    assert worker.stop() == 0
    assert flow.count() == 100
    assert sum(offset or 0 for offset in flow.committed().values()) > 100, "Kafka's own lag is none either"

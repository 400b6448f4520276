"""Partitions come, go, lose their leader or hide records; the trouble of one is no other's."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from broker import KafkaBroker
from cluster import KafkaCluster
from flow import Flow
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from probe import Probe
from services import PATIENCE_S, create_topic, wait_for

from worker.dead_letters import read
from worker.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
def split_flow(cluster: KafkaCluster, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    """A flow whose first two partitions lie on one node alone, and the last two on the node that may die."""
    topic = create_topic(cluster.bootstrap, replicas=2, assignments=[[1], [1], [2], [2]])
    flow = Flow(cluster.bootstrap, topic, postgres_url, tmp_path)
    yield flow
    flow.close()


def send(flow: Flow, partitions: range, count: int, first: int = 0, **options: object) -> KafkaProducer:
    """Send records to some partitions; return the producer, flushed and open."""
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap, **options)
    if "transactional_id" in options:
        producer.init_transactions()
        producer.begin_transaction()
    for number in range(first, first + count):
        value = json.dumps({"text": f"фраза номер {number}"}).encode()
        producer.send(flow.topic, value=value, partition=partitions[number % len(partitions)])
    producer.flush()
    return producer


def topic_id(admin: KafkaAdminClient, topic: str) -> object:
    """Return the id of a topic, or None where there is none."""
    try:
        return admin.describe_topics([topic])[0].get("topic_id")
    except UnknownTopicOrPartitionError:
        return None


def stored_in(flow: Flow, partitions: range) -> int:
    return sum(row["kafka_partition"] in partitions for row in flow.rows())


def test_partitions_with_a_leader_go_on_while_a_broker_is_dead_and_the_others_follow(
    split_flow: Flow, cluster: KafkaCluster
) -> None:
    dying: KafkaBroker = cluster.brokers[1]
    send(split_flow, range(4), 100).close()
    worker = split_flow.start(STUB_HASTY="1")
    split_flow.wait_for_rows(100)
    dying.kill()
    wait_for(lambda: cluster.members() == {1}, what="the cluster to notice")

    send(split_flow, range(2), 100, first=100).close()
    wait_for(lambda: stored_in(split_flow, range(2)) == 150, "the partitions that are led")
    wait_for(lambda: worker.said("wait for a broker"), "word of the partitions that are not")
    assert worker.stop() == 0
    # A worker that starts meanwhile does as well.
    second = split_flow.start(STUB_HASTY="1")
    send(split_flow, range(2), 100, first=200).close()
    wait_for(lambda: stored_in(split_flow, range(2)) == 250, "the partitions that are led, once more")

    dying.start()
    send(split_flow, range(2, 4), 100, first=300).close()
    split_flow.wait_for_rows(400)
    assert second.stop() == 0
    assert {row["text"] for row in split_flow.rows()} == {f"фраза номер {number}" for number in range(400)}


def test_a_partition_that_is_added_is_read_from_its_beginning_though_new_groups_begin_at_the_end(flow: Flow) -> None:
    send(flow, range(4), 50).close()
    worker = flow.start(STUB_HASTY="1", WORKER_KAFKA_AUTO_OFFSET_RESET="latest")
    wait_for(lambda: len(worker.said("partition claimed")) == 4, what="the claims")
    send(flow, range(4), 50, first=50).close()
    flow.wait_for_rows(50)

    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.create_partitions({flow.topic: 6})
    wait_for(lambda: len(admin.describe_topics([flow.topic])[0]["partitions"]) == 6, what="the new partitions")
    admin.close()
    send(flow, range(4, 6), 50, first=100).close()

    flow.wait_for_rows(100)
    assert worker.stop() == 0
    assert {row["text"] for row in flow.rows()} == {f"фраза номер {number}" for number in range(50, 150)}


def test_a_topic_that_is_deleted_under_the_worker_ends_it_with_one_line(flow: Flow) -> None:
    flow.publish(50)
    worker = flow.start(STUB_HASTY="1")
    flow.wait_for_rows(50)

    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_topics([flow.topic])
    admin.close()

    assert worker.wait() == 2
    assert f"there is no topic {flow.topic}" in worker.output()


def test_a_topic_that_is_recreated_under_the_worker_is_a_gap(flow: Flow) -> None:
    flow.publish(50)
    worker = flow.start(STUB_HASTY="1", WORKER_KAFKA_OFFSET_OUT_OF_RANGE="earliest")
    flow.wait_for_rows(50)

    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    (before,) = admin.describe_topics([flow.topic])
    admin.delete_topics([flow.topic])
    admin.create_topics({flow.topic: {"num_partitions": 4, "replication_factor": 1}})
    # A broker that has not heard of it yet would take records for the old topic, and delete them with it.
    wait_for(lambda: topic_id(admin, flow.topic) not in {None, before["topic_id"]}, "the new topic")
    admin.wait_for_topics([flow.topic], timeout_ms=PATIENCE_S * 1000)
    admin.close()
    flow.publish(200)  # More than before, so the old offsets lie within the new log.

    # It may look while there is no topic, and end.
    wait_for(lambda: worker.process.poll() is not None or flow.count() == 250, "the rows, or the end")
    if worker.process.poll() is None:
        assert worker.stop() == 0
    else:
        assert worker.process.returncode == 2
        flow.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="earliest")
        flow.wait_for_rows(250)
    flow.assert_each_once()


def test_records_behind_an_open_transaction_are_counted(flow: Flow) -> None:
    producer = send(flow, range(1), 10, transactional_id=flow.topic)
    send(flow, range(1), 20, first=10).close()
    worker = flow.start(STUB_HASTY="1")
    probe = Probe(worker)

    hidden = ("emotion_hidden_records", "0", flow.topic)
    wait_for(lambda: probe.metrics().get(hidden) == 30, "the hidden records")
    assert probe.get("/healthz") == (200, "ok\n")
    assert flow.count() == 0

    producer.commit_transaction()
    producer.close()
    flow.wait_for_rows(30)
    wait_for(lambda: probe.metrics().get(hidden) == 0, "none to be hidden")
    assert worker.stop() == 0


def test_dead_letters_of_a_partition_that_nobody_leads_are_an_outage(
    split_flow: Flow, cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_LEADER_TIMEOUT_MS", 2_000)
    send(split_flow, range(4), 4)
    settings = Settings(kafka_bootstrap_servers=cluster.bootstrap, kafka_dead_letter_topic=split_flow.topic)
    with closing(read._consumer(settings)) as consumer:
        ends = read._ends(consumer, split_flow.topic)
        cluster.brokers[1].kill()
        wait_for(lambda: cluster.members() == {1}, what="the cluster to notice")
        with pytest.raises(KafkaTimeoutError, match="no broker leads"):
            list(read._read(consumer, ends, set()))

"""Answers of a real broker that are no outage: the worker ends with one line that says what to do, and exit code 2."""

from collections.abc import Iterator

import pytest
from flow import BAD, Flow, WorkerProcess
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from services import dead_letters_of, wait_for


def assert_one_clear_line(worker: WorkerProcess, hint: str) -> None:
    assert worker.wait() == 2, worker.output()
    (complaint,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert hint in complaint
    assert "Traceback" not in worker.output()


@pytest.fixture
def sticky_member(flow: Flow) -> Iterator[KafkaConsumer]:
    """A member of the workers' group that shares out partitions in a way of its own."""
    consumer = KafkaConsumer(
        flow.topic,
        bootstrap_servers=flow.bootstrap,
        group_id=flow.group,
        partition_assignment_strategy=[StickyPartitionAssignor],
    )
    wait_for(lambda: consumer.poll(timeout_ms=100) or consumer.assignment(), what="the group")
    yield consumer
    consumer.close()


@pytest.mark.usefixtures("sticky_member")
def test_a_group_of_another_kind(flow: Flow) -> None:
    assert_one_clear_line(flow.start(), "WORKER_KAFKA_GROUP_ID")


def test_a_topic_of_dead_letters_that_is_compacted(flow: Flow) -> None:
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    compacted = {"cleanup.policy": "compact"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, dead_letters_of(flow.topic), compacted)])
    admin.close()
    flow.publish_raw(BAD)

    assert_one_clear_line(flow.start(), "cleanup.policy")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("WORKER_KAFKA_GROUP_ID", ""),
        ("WORKER_KAFKA_BOOTSTRAP_SERVERS", "localhost:kafka"),
        ("WORKER_KAFKA_BOOTSTRAP_SERVERS", "a..b:9092"),
    ],
)
def test_names_that_no_broker_takes(flow: Flow, setting: str, value: str) -> None:
    assert_one_clear_line(flow.start(STUB_HASTY="1", **{setting: value}), "WORKER_KAFKA_")

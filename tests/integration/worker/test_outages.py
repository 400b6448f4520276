"""Nothing is lost while something is away, and the worker goes on by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from broker import KafkaBroker
from flow import Flow
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from probe import Probe
from services import Postgres, create_topic, wait_for

pytestmark = pytest.mark.kafka

PATIENT: Final = {"WORKER_KAFKA_SESSION_TIMEOUT_MS": "5000"}
"""For tests that count memberships: on a busy machine a member may be silent for two seconds."""


@pytest.fixture
def fragile_flow(own_broker: KafkaBroker, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    """A flow whose broker the test may kill."""
    flow = Flow(own_broker.bootstrap, create_topic(own_broker.bootstrap), postgres_url, tmp_path)
    yield flow
    flow.close()


def test_a_database_stopped_and_started_under_load_loses_nothing(
    kafka: str, topic: str, own_postgres: Postgres, tmp_path: Path
) -> None:
    flow = Flow(kafka, topic, own_postgres.url(), tmp_path)
    flow.publish(1_500)
    worker = flow.start(STUB_SECONDS="0.1", WORKER_STUCK_AFTER_S="10", **PATIENT)
    flow.wait_for_rows(100)

    own_postgres.stop()
    wait_for(lambda: worker.said("a service is away"), what="the outage to be seen")
    flow.publish(100)
    # Longer than the session timeout: only a worker that goes on polling is still a member after it.
    wait_for(lambda: len(worker.said("a service is away")) > 7, what="several retries")
    probe = Probe(worker)
    assert probe.get("/healthz") == (200, "ok\n"), "a restart would mend nothing"
    status, said = probe.get("/readyz")
    assert (status, said.startswith("waiting for postgres since")) == (503, True)
    own_postgres.start()

    wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), "readiness")
    flow.wait_for_rows(1_600)
    assert worker.stop() == 0
    flow.assert_each_once()
    assert len(worker.said("partitions came")) == 1
    assert flow.dead_letters() == []
    flow.close()


def test_a_broker_killed_and_started_again_loses_nothing(fragile_flow: Flow, own_broker: KafkaBroker) -> None:
    fragile_flow.publish(1_500)
    worker = fragile_flow.start(STUB_SECONDS="0.1", STUB_HASTY="1")
    fragile_flow.wait_for_rows(100)

    own_broker.kill()
    # What was polled before is stored all the same.
    wait_for(lambda: worker.said("Kafka is away"), what="the outage to be seen")
    probe = Probe(worker)
    wait_for(lambda: "waiting for kafka since" in probe.get("/readyz")[1], what="the reason")
    assert probe.get("/healthz") == (200, "ok\n"), "a restart would mend nothing"
    own_broker.start()

    wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), "readiness")
    fragile_flow.wait_for_rows(1_500)
    assert worker.stop() == 0
    fragile_flow.assert_each_once()


def test_a_worker_that_is_told_to_stop_while_its_broker_hangs_ends_before_docker_kills_it(
    fragile_flow: Flow, own_broker: KafkaBroker
) -> None:
    fragile_flow.publish(100)
    worker = fragile_flow.start(STUB_SECONDS="30")
    wait_for(lambda: worker.said("classifying"), what="a chunk that takes longer than the stop may")
    own_broker.freeze()

    worker.process.terminate()
    try:
        assert worker.wait() == 0
    finally:
        own_broker.thaw()

    assert worker.said("did not finish in time")
    assert fragile_flow.count() == 0


def test_a_slow_model_costs_no_membership(flow: Flow) -> None:
    flow.publish(200)
    worker = flow.start(STUB_SECONDS="4", WORKER_KAFKA_MAX_POLL_INTERVAL_MS="5000", **PATIENT)
    flow.wait_for_rows(200)
    assert worker.stop() == 0
    flow.assert_each_once()
    assert len(worker.said("partitions came")) == 1


def test_the_database_knows_where_to_go_on_when_kafka_does_not(flow: Flow) -> None:
    flow.publish(200)
    first = flow.start(STUB_VERSION="first")
    flow.wait_for_rows(200)
    assert first.stop() == 0
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_groups([flow.group])
    admin.close()
    assert set(flow.committed().values()) == {None}

    flow.publish(50)
    second = flow.start(STUB_VERSION="second")

    flow.wait_for_rows(250)
    assert second.stop() == 0
    flow.assert_each_once()
    versions = [row["model_version"] for row in flow.rows()]
    assert (versions.count("first"), versions.count("second")) == (200, 50)


def test_a_group_new_to_the_database_begins_where_it_stands_in_kafka(flow: Flow) -> None:
    flow.publish(200)
    group = KafkaConsumer(bootstrap_servers=flow.bootstrap, group_id=flow.group, enable_auto_commit=False)
    partitions = [TopicPartition(flow.topic, number) for number in range(4)]
    group.assign(partitions)
    group.commit({item: OffsetAndMetadata(end, "", -1) for item, end in group.end_offsets(partitions).items()})
    group.close()

    flow.publish(50)
    worker = flow.start()

    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert flow.count() == 50
    assert len(worker.said("the database does not know this group, which stands in Kafka")) == 4


def test_a_database_that_was_lost_is_filled_again_from_where_the_group_began(flow: Flow) -> None:
    flow.publish(200)
    worker = flow.start()
    flow.wait_for_rows(200)
    assert worker.stop() == 0
    flow.query("DELETE FROM consumer_offsets")
    flow.query("DELETE FROM emotion_results")

    flow.publish(50)
    heir = flow.start()

    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert len(heir.said("the database stands behind what this group told Kafka")) == 4
    flow.assert_each_once()


def commit_as_an_older_version(flow: Flow, partitions: range) -> None:
    """Commit where the group stands, without the mark of where it began, as workers of older versions do."""
    group = KafkaConsumer(bootstrap_servers=flow.bootstrap, group_id=flow.group, enable_auto_commit=False)
    stands = flow.committed()
    group.commit({TopicPartition(flow.topic, item): OffsetAndMetadata(stands[item], "", -1) for item in partitions})
    group.close()


@pytest.mark.parametrize("loses", ["at the next start", "once newer workers have run again"])
def test_workers_of_an_older_version_in_between_do_not_hide_that_a_database_was_lost(flow: Flow, loses: str) -> None:
    flow.publish(200)
    assert_stores_and_stops(flow)
    if loses == "at the next start":
        commit_as_an_older_version(flow, range(2))
    else:
        commit_as_an_older_version(flow, range(4))
        assert_stores_and_stops(flow)
    flow.query("DELETE FROM consumer_offsets")
    flow.query("DELETE FROM emotion_results")

    heir = flow.start()

    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert len(heir.said("the database stands behind what this group told Kafka")) == 4
    flow.assert_each_once()


def assert_stores_and_stops(flow: Flow) -> None:
    worker = flow.start()
    wait_for(lambda: worker.said("partition claimed"), what="the claims")
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0

"""A period of the topic is read again while the live group stays where it is."""

import time
from collections.abc import Iterable, Mapping

import msgspec
import pytest
from flow import Flow
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from services import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka

MINUTE_MS = 60_000
BEGIN_MS = (int(time.time()) - 300 * 60) * 1_000  # Retention takes what is older than a week.


def at(minute: int) -> int:
    """Milliseconds since the epoch, so many minutes after the first message."""
    return BEGIN_MS + minute * MINUTE_MS


def period(first: int, behind: int) -> dict[str, str]:
    """The environment of a backfill from one minute to another."""
    return {"STUB_BACKFILL": f"{at(first)}/{at(behind)}", "STUB_VERSION": "again"}


def send(flow: Flow, minutes: Iterable[int], text: str = "первое", partition: int | None = None) -> None:
    """Send a message a minute, whose id is the minute, to the partitions in turn."""
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    for minute in minutes:
        value = msgspec.json.encode({"id": str(minute), "text": text})
        place = minute % 4 if partition is None else partition
        producer.send(flow.topic, value=value, partition=place, timestamp_ms=at(minute))
    producer.close()


def store(flow: Flow, **settings: str) -> None:
    """Let a live worker store what there is."""
    live = flow.start(STUB_VERSION="live", **settings)
    wait_for(lambda: live.said("partition claimed"), what="the claims")
    wait_for(lambda: offsets(flow, flow.group) == ends(flow), what="the end of the log")
    assert live.stop() == 0


def offsets(flow: Flow, group: str) -> dict[int, int]:
    """Where a group stands in the database, by partition."""
    with flow._engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT partition, next_offset FROM consumer_offsets WHERE group_id = %s", (group,)
        )
        return {row.partition: row.next_offset for row in found}


def ends(flow: Flow) -> Mapping[int, int]:
    return {item.partition: end for item, end in flow._ends(flow.topic).items()}


def versions(flow: Flow) -> dict[int, str]:
    """Which model has scored each id."""
    return {int(row["transcript_id"]): row["model_version"] for row in flow.rows()}


def test_a_period_is_read_again_and_no_newer_message_is_overwritten(flow: Flow) -> None:
    send(flow, range(100))
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    corrected = msgspec.json.encode({"id": "30", "text": "исправлено"})
    producer.send(flow.topic, value=corrected, partition=2, timestamp_ms=at(100))
    producer.close()
    store(flow)
    flow.query("DELETE FROM emotion_results WHERE transcript_id IN ('40', '90')")
    live = offsets(flow, flow.group)

    run = flow.start(**period(20, 60))

    assert run.wait() == 0
    assert run.said("reading again")[0]["of"] == 40
    again = set(range(20, 60)) - {30}
    assert versions(flow) == {minute: "again" if minute in again else "live" for minute in range(100) if minute != 90}
    assert [row["text"] for row in flow.rows() if row["transcript_id"] == "30"] == ["исправлено"]
    assert offsets(flow, flow.group) == live
    assert flow.start(**period(20, 60)).wait() == 0, "what is done is found to be done"


def test_a_killed_run_goes_on_where_it_was_and_several_share_the_work(flow: Flow) -> None:
    send(flow, range(200))
    few = {"WORKER_MAX_RECORDS": "16"} | period(0, 160)
    killed = flow.start(STUB_DIES_AT="committed to Postgres, not reported", STUB_DIES_AFTER="4", **few)
    killed.wait()
    before = flow.count()
    assert 0 < before < 160
    flow.query("UPDATE emotion_results SET model_version = 'before'")

    runs = [flow.start(**few) for _ in range(2)]

    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(versions(flow)) == list(range(160))
    assert list(versions(flow).values()).count("before") == before


def test_a_tombstone_of_another_partition_behind_the_period_deletes_the_row_again(flow: Flow) -> None:
    send(flow, range(20))
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    producer.send(flow.topic, key=b"5", value=None, partition=3, timestamp_ms=at(30)).get(PATIENCE_S)
    producer.close()
    deletes = {"WORKER_KAFKA_TOMBSTONES": "delete"}
    store(flow, **deletes)
    assert 5 not in versions(flow)

    run = flow.start(**deletes, **period(0, 20))

    assert run.wait() == 0
    assert versions(flow) == {minute: "again" for minute in range(20) if minute != 5}


def test_a_period_of_which_retention_took_messages_is_read_with_a_warning(flow: Flow) -> None:
    send(flow, range(20))
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_records({TopicPartition(flow.topic, 1): 2})
    admin.close()

    run = flow.start(**period(0, 20))

    assert run.wait() == 0
    assert [line["partitions"] for line in run.said("retention may have taken messages")] == [[1]]
    assert sorted(versions(flow)) == [minute for minute in range(20) if minute not in {1, 5}]

"""Each transcript has one row, through any failure of the workers."""

import json
import signal

import pytest
from flow import BAD, Flow
from services import wait_for
from stub_worker import GAPS

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("gap", GAPS)
def test_a_worker_killed_between_any_two_steps_loses_and_doubles_nothing(flow: Flow, gap: str) -> None:
    flow.publish(300)
    flow.publish_calls(20)
    flow.publish_raw(BAD)
    # The heir need not wait long for the partitions of the dead.
    doomed = flow.start(STUB_DIES_AT=gap, STUB_DIES_AFTER="3", WORKER_KAFKA_SESSION_TIMEOUT_MS="1000")
    assert doomed.wait() == -signal.SIGKILL

    heir = flow.start()

    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert heir.stop() == 0
    flow.assert_each_once()
    assert {record.value for record in flow.dead_letters()} == set(BAD)


def test_two_workers_share_a_topic_through_rebalances_and_a_crash(flow: Flow) -> None:
    flow.publish(2_000)
    first = flow.start(STUB_SECONDS="0.1")
    flow.wait_for_rows(200)
    second = flow.start(STUB_SECONDS="0.1")
    wait_for(lambda: second.said("partition claimed"), what="a share for the second worker")
    flow.publish(1_000)
    first.send(signal.SIGKILL)
    third = flow.start()

    flow.wait_for_rows(3_000)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    wait_for(lambda: third.said("starting"), what="the third worker, which may have come too late")
    assert [second.stop(), third.stop()] == [0, 0]
    flow.assert_each_once()


def test_a_zombie_that_wakes_after_its_partitions_were_taken_writes_nothing(flow: Flow) -> None:
    flow.publish(200)
    # The model's time passes while the zombie sleeps, too.
    zombie = flow.start(STUB_SECONDS="8", STUB_VERSION="zombie")
    wait_for(lambda: zombie.said("partition claimed"), what="the zombie's partitions")
    wait_for(lambda: zombie.said("classifying"), what="a chunk in the zombie's hands")
    zombie.send(signal.SIGSTOP)
    owner = flow.start(STUB_VERSION="owner")
    flow.wait_for_rows(200)

    zombie.send(signal.SIGCONT)

    wait_for(lambda: zombie.said("have another owner"), what="the zombie's attempt")
    assert {row["model_version"] for row in flow.rows()} == {"owner"}
    assert [zombie.stop(), owner.stop()] == [0, 0]
    flow.assert_each_once()


def test_records_delivered_again_overwrite_their_rows(flow: Flow) -> None:
    flow.publish(200)
    worker = flow.start()
    flow.wait_for_rows(200)
    assert worker.stop() == 0
    flow.query("UPDATE consumer_offsets SET next_offset = 0")

    again = flow.start(STUB_VERSION="second reading")

    wait_for(lambda: {row["model_version"] for row in flow.rows()} == {"second reading"}, what="a second reading")
    assert again.stop() == 0
    flow.assert_each_once()


def test_calls_delivered_again_have_the_same_rows(flow: Flow) -> None:
    flow.publish_calls(20)
    worker = flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert worker.stop() == 0
    flow.assert_each_once()
    columns = "transcript_id, source, segment, text, emotions, message_id, part, cut, kafka_offset, kafka_timestamp"
    rows = f"SELECT array_agg(({columns})::text ORDER BY transcript_id) FROM emotion_results"  # noqa: S608 - a constant.
    before = flow.query(rows)
    flow.query("UPDATE consumer_offsets SET next_offset = 0")

    again = flow.start(STUB_VERSION="second reading")

    wait_for(lambda: {row["model_version"] for row in flow.rows()} == {"second reading"}, "a second reading")
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert again.stop() == 0
    assert flow.query(rows) == before


def test_a_message_that_its_producer_sent_twice_has_one_row(flow: Flow) -> None:
    message = json.dumps({"id": "call-7", "text": "алло"}).encode()
    flow.publish_raw([message] * 50)
    flow.start()
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert [row["transcript_id"] for row in flow.rows()] == ["call-7"]


def test_sigterm_under_load_finishes_what_is_in_flight_and_tells_kafka(flow: Flow) -> None:
    flow.publish(10_000)
    worker = flow.start(STUB_SECONDS="0.2", STUB_FINISHES="1")
    flow.wait_for_rows(100)
    assert worker.stop() == 0
    stored = flow.query("SELECT sum(next_offset) FROM consumer_offsets")
    assert stored == flow.count() < 10_000
    assert sum(offset or 0 for offset in flow.committed().values()) == stored

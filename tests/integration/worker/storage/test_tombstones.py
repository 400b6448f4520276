"""Records without a value, through a whole worker."""

from collections.abc import Iterable

import pytest
from flow import Flow
from kafka import KafkaProducer
from probe import Probe
from services import wait_for

pytestmark = pytest.mark.kafka


def publish(flow: Flow, records: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Publish pairs of a key and a value, or None."""
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    for key, value in records:
        producer.send(flow.topic, key=key, value=value)
    producer.close()


def test_150_tombstones_among_good_records_stop_nothing(flow: Flow) -> None:
    flow.publish(20)
    publish(flow, ((b"one-key", None) for _ in range(150)))
    flow.publish(20)
    worker = flow.start()
    flow.wait_for_rows(40)
    wait_for(flow.stored_to_the_end, what="offsets beyond the tombstones")
    flow.assert_each_once()
    assert flow.dead_letters() == []
    wait_for(lambda: Probe(worker).metrics()["emotion_tombstones_total",] == 150, what="the count")
    assert worker.stop() == 0


def test_a_tombstone_deletes_all_rows_of_a_call_where_that_is_set(flow: Flow) -> None:
    segments = ", ".join(f'{{"text": "реплика {number}"}}' for number in range(5))
    calls = [(name, f'{{"id": "{name}", "segments": [{segments}]}}'.encode()) for name in ("gone", "kept")]
    publish(flow, [(name.encode(), value) for name, value in calls])
    worker = flow.start(WORKER_KAFKA_TOMBSTONES="delete")
    flow.wait_for_rows(10)
    publish(flow, [(b"gone", None)])
    wait_for(flow.stored_to_the_end, "the tombstone")
    assert {row["message_id"] for row in flow.rows()} == {"kept"}
    assert flow.count() == 5
    assert worker.stop() == 0


def test_tombstones_delete_the_rows_of_their_keys_where_that_is_set(flow: Flow) -> None:
    texts = {name: f'{{"id": "{name}", "text": "да"}}'.encode() for name in ("gone", "kept", "back")}
    publish(flow, [(name.encode(), value) for name, value in texts.items()])
    publish(flow, [(b"gone", None), (b"back", None), (b"back", texts["back"])])
    flow.start(WORKER_KAFKA_TOMBSTONES="delete")
    wait_for(flow.stored_to_the_end, what="all records")
    assert {row["transcript_id"] for row in flow.rows()} == {"kept", "back"}

"""What cannot become a row is kept with its reason, can be repaired and replayed; garbage stops the worker."""

import base64
import json
import random
import time
from typing import Any

import pytest
from commands import emotion_worker
from flow import Flow
from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatchBuilder
from services import PATIENCE_S, dead_letters_of, wait_for

pytestmark = pytest.mark.kafka

IN_A_ROW = 20
YESTERDAY_MS = time.time_ns() // 10**6 - 24 * 3600 * 1000
LARGEST = 1_048_480
"""Bytes of a value that only just fits into a topic, by the broker's default of max.message.bytes."""


def send(
    flow: Flow,
    value: bytes | None,
    key: bytes | None = None,
    headers: list[tuple[str, bytes]] | None = None,
    timestamp_ms: int | None = None,
) -> None:
    # The client refuses to send what has neither key nor value; other clients send it, and so does a serializer.
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap, value_serializer=lambda _: value)
    sent = producer.send(flow.topic, value="", key=key, headers=headers, partition=2, timestamp_ms=timestamp_ms)
    sent.get(PATIENCE_S)
    producer.close()


def wait_for_the_end(flow: Flow) -> None:
    wait_for(flow.stored_to_the_end, "the end of the log")


def test_a_dead_letter_keeps_its_bytes_key_and_headers_and_says_where_it_failed_and_why(flow: Flow) -> None:
    flow.publish(10)
    own = [("trace", b"\x01\x02"), ("__connect.errors.stage", b"of an earlier replay")]
    send(flow, b"\xff not JSON", b"call-1", own, YESTERDAY_MS)
    flow.start()
    wait_for_the_end(flow)

    (letter,) = flow.dead_letters()

    assert (letter.value, letter.key) == (b"\xff not JSON", b"call-1")
    kept, *said = letter.headers
    assert kept == ("trace", b"\x01\x02")
    headers = {name.removeprefix("__connect.errors."): value.decode() for name, value in said}
    assert list(headers) == [
        "topic",
        "partition",
        "offset",
        "timestamp",
        "stage",
        "exception.class.name",
        "exception.message",
    ]
    assert (headers["topic"], headers["partition"], headers["stage"]) == (flow.topic, "2", "decode")
    assert int(headers["offset"]) <= 10
    assert int(headers["timestamp"]) == YESTERDAY_MS
    assert headers["exception.class.name"] == "InvalidTranscript"
    assert "not UTF-8 (byte 0xff at 0)" in headers["exception.message"]
    assert flow.count() == 10


def test_a_record_with_an_empty_value_and_no_key_is_a_dead_letter_too(flow: Flow) -> None:
    send(flow, b"")
    send(flow, None, b"call-1")  # A tombstone is none.
    flow.start()
    wait_for_the_end(flow)

    [letter] = flow.dead_letters()

    assert (letter.key, letter.value) == (None, b"")


def test_a_record_with_a_header_without_a_value_is_a_dead_letter_too(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = DefaultRecordBatchBuilder.append

    def append_nulls(batch: DefaultRecordBatchBuilder, *fields: Any) -> Any:
        # What the client refuses to send and other clients do.
        *others, headers = fields
        return append(batch, *others, [(name, value or None) for name, value in headers])

    monkeypatch.setattr(DefaultRecordBatchBuilder, "append", append_nulls)
    send(flow, b"garbage", headers=[("trace", b"1"), ("span", b"")])
    flow.start()
    wait_for_the_end(flow)

    (letter,) = flow.dead_letters()

    assert letter.value == b"garbage"
    assert letter.headers[:2] == [("trace", b"1"), ("span", b"")]


def test_a_broken_record_as_large_as_the_topic_takes_is_a_dead_letter_too(flow: Flow) -> None:
    broken = b'{"text": "' + base64.b64encode(random.Random(7).randbytes(LARGEST * 3 // 4 - 12))
    flow.publish_raw([broken])
    flow.publish(10)
    flow.start()
    wait_for_the_end(flow)
    assert [letter.value for letter in flow.dead_letters()] == [broken]
    assert flow.count() == 10


def test_a_record_that_is_too_large_with_its_headers_stops_the_worker_and_is_not_skipped(flow: Flow) -> None:
    flow.publish_raw([random.Random(7).randbytes(LARGEST)])

    worker = flow.start()

    assert worker.wait() == 2
    assert "Traceback" not in worker.output()
    assert "a topic of dead letters needs more than the topic of transcripts" in worker.output()
    assert flow.query("SELECT sum(next_offset) FROM consumer_offsets") == 0


@pytest.mark.parametrize("connections", ["1", "2", "3"])
def test_garbage_stops_the_worker_and_none_of_it_is_skipped(flow: Flow, connections: str) -> None:
    flow.publish_raw([b"garbage"] * 100)

    # It waits for a full chunk, so that the first holds more than is let through.
    worker = flow.start(
        WORKER_DEAD_LETTERS_IN_A_ROW=str(IN_A_ROW),
        WORKER_MAX_WAIT_MS="5000",
        WORKER_DATABASE_CONNECTIONS=connections,
    )

    assert worker.wait() == 2
    assert "Traceback" not in worker.output()
    (complaint,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert complaint.startswith(f"{IN_A_ROW} records in a row are dead letters")
    assert "WORKER_DEAD_LETTERS_IN_A_ROW=0" in complaint
    assert complaint.endswith('send a JSON object such as {"text": "…"}')
    assert flow.query("SELECT sum(next_offset) FROM consumer_offsets") == 0
    assert flow.dead_letters() == []
    assert flow.count() == 0


def test_garbage_is_let_through_when_the_operator_says_so(flow: Flow) -> None:
    flow.publish_raw([b"garbage"] * 300)
    flow.publish(10)
    worker = flow.start(WORKER_DEAD_LETTERS_IN_A_ROW="0")
    wait_for_the_end(flow)
    assert worker.stop() == 0
    assert len(flow.dead_letters()) == 300
    assert flow.count() == 10


def test_a_worker_stopped_by_garbage_goes_on_once_the_cause_is_gone(flow: Flow) -> None:
    """A model that fails on everything looks like garbage, too: nothing is lost by it."""
    texts = [json.dumps({"text": f"яд {number}"}).encode() for number in range(100)]
    flow.publish_raw(texts)
    poisoned = flow.start(WORKER_DEAD_LETTERS_IN_A_ROW=str(IN_A_ROW), WORKER_MAX_WAIT_MS="5000")
    assert poisoned.wait() == 2
    assert "in a row are rejected: poison" in poisoned.output()
    assert flow.dead_letters() == []

    flow.start(WORKER_DEAD_LETTERS_IN_A_ROW="0")
    wait_for_the_end(flow)
    assert sorted(letter.value for letter in flow.dead_letters()) == sorted(texts)


def test_listing_a_topic_that_does_not_exist_says_so(flow: Flow) -> None:
    listed = emotion_worker(
        "dead-letters",
        "list",
        WORKER_KAFKA_BOOTSTRAP_SERVERS=flow.bootstrap,
        WORKER_KAFKA_DEAD_LETTER_TOPIC=f"{dead_letters_of(flow.topic)}-misspelt",
    )
    assert listed.returncode == 2
    assert "there is no topic" in listed.stderr
    assert "Traceback" not in listed.stderr

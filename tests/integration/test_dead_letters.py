"""What cannot become a row is kept with its reason, can be repaired and replayed; garbage stops the worker."""

import base64
import json
import random
import sys
from pathlib import Path

import pytest
from commands import emotion_worker
from flow import BAD, Flow
from kafka import KafkaProducer
from services import dead_letters_of, wait_for

pytestmark = pytest.mark.kafka

IN_A_ROW = 20
LARGEST = 1_048_480
"""Bytes of a value that only just fits into a topic, by the broker's default of max.message.bytes."""
REPAIR = """\
import json, sys
message = json.load(sys.stdin)
if "txt" not in message:
    sys.exit("there is nothing to repair")
print(json.dumps({"id": message["id"], "text": message["txt"]}))
"""


def send(
    flow: Flow, value: bytes | None, key: bytes | None = None, headers: list[tuple[str, bytes]] | None = None
) -> None:
    # The client refuses to send what has neither key nor value; other clients send it, and so does a serializer.
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap, value_serializer=lambda _: value)
    producer.send(flow.topic, value="", key=key, headers=headers, partition=2).get(30)
    producer.close()


def wait_for_the_end(flow: Flow) -> None:
    wait_for(flow.stored_to_the_end, 60, "the end of the log")


def test_a_dead_letter_keeps_its_bytes_key_and_headers_and_says_where_it_failed_and_why(flow: Flow) -> None:
    flow.publish(10)
    send(
        flow, b"\xff not JSON", b"call-1", [("trace", b"\x01\x02"), ("__connect.errors.stage", b"of an earlier replay")]
    )
    flow.start()
    wait_for_the_end(flow)

    (letter,) = flow.dead_letters()

    assert (letter.value, letter.key) == (b"\xff not JSON", b"call-1")
    own, *said = letter.headers
    assert own == ("trace", b"\x01\x02")
    headers = {name.removeprefix("__connect.errors."): value.decode() for name, value in said}
    assert list(headers) == ["topic", "partition", "offset", "stage", "exception.class.name", "exception.message"]
    assert (headers["topic"], headers["partition"], headers["stage"]) == (flow.topic, "2", "decode")
    assert int(headers["offset"]) <= 10
    assert headers["exception.class.name"] == "InvalidTranscript"
    assert "malformed" in headers["exception.message"]
    assert flow.count() == 10


def test_a_record_with_neither_key_nor_value_is_a_dead_letter_too(flow: Flow) -> None:
    send(flow, None)
    send(flow, None, b"call-1")
    flow.start()
    wait_for_the_end(flow)

    letters = flow.dead_letters()

    assert [(letter.key, letter.value) for letter in letters] == [(None, b""), (b"call-1", None)]
    assert all(b"no value" in dict(letter.headers)["__connect.errors.exception.message"] for letter in letters)


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

    assert worker.wait(60) == 2
    assert "Traceback" not in worker.output()
    assert "a topic of dead letters needs more than the topic of transcripts" in worker.output()
    assert flow.query("SELECT sum(next_offset) FROM consumer_offsets") == 0


def test_dead_letters_are_listed_and_what_was_repaired_is_replayed_once(flow: Flow, tmp_path: Path) -> None:
    repair = tmp_path / "repair.py"
    repair.write_text(REPAIR, encoding="utf-8")
    repairing = ("dead-letters", "replay", "--repair", f"{sys.executable} {repair}")
    flow.publish(10)
    flow.publish_raw([b'{"id": "broken", "txt": "\xd0\xb4\xd0\xb0"}', *BAD])
    worker = flow.start()
    wait_for_the_end(flow)
    settings = {name: value for name, value in flow.settings.items() if name != "WORKER_LOG_LEVEL"}

    listed = emotion_worker("dead-letters", "list", **settings)
    replayed = emotion_worker(*repairing, **settings)
    again = emotion_worker(*repairing, **settings)

    assert listed.returncode == replayed.returncode == again.returncode == 0
    assert listed.stdout.count("decode: ") == 1 + len(BAD)
    assert f"{flow.topic}[" in listed.stdout
    assert "missing required field `text`" in listed.stdout
    assert '{"id": "broken", "txt": "да"}' in listed.stdout
    assert replayed.stdout == f"published 1 messages again, left out {len(BAD)}\n"
    assert again.stdout == "published 0 messages again, left out 0\n"
    flow.wait_for_rows(11)
    assert worker.stop() == 0
    assert [row["text"] for row in flow.rows() if row["transcript_id"] == "broken"] == ["да"]
    assert len(flow.dead_letters()) == 1 + len(BAD)


def test_garbage_stops_the_worker_and_none_of_it_is_skipped(flow: Flow) -> None:
    flow.publish_raw([b"garbage"] * 100)

    # It waits for a full chunk, so that the first holds more than is let through.
    worker = flow.start(WORKER_DEAD_LETTERS_IN_A_ROW=str(IN_A_ROW), WORKER_MAX_WAIT_MS="5000")

    assert worker.wait(60) == 2
    assert "Traceback" not in worker.output()
    (complaint,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert complaint.startswith(f"{IN_A_ROW} records in a row are dead letters")
    assert "WORKER_DEAD_LETTERS_IN_A_ROW=0" in complaint
    assert complaint.endswith("The last error: JSON is malformed: invalid character (byte 0)")
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
    assert poisoned.wait(60) == 2
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

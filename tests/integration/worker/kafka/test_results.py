"""Results are records of a topic too: none is missing, and each comes before its row."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import Any

import msgspec
import pytest
from flow import BAD, Flow
from kafka import KafkaAdminClient
from launchers import Launcher
from places import ROOT
from services import PATIENCE_S, wait_for
from stub_worker import RESULT_GAPS

from schemas.results import Result

pytestmark = pytest.mark.kafka

Identity = tuple[str, str]


@pytest.fixture
def results_topic(flow: Flow) -> str:
    """A topic of four partitions, which the workers of the flow send results to."""
    topic = f"{flow.topic}.emotions"
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.create_topics({topic: {"num_partitions": 4, "replication_factor": 1}})
    admin.wait_for_topics([topic], timeout_ms=PATIENCE_S * 1000)
    admin.close()
    flow.settings["WORKER_KAFKA_RESULTS_TOPIC"] = topic
    return topic


def newest(records: Iterable[Any]) -> dict[Identity, dict[str, Any]]:
    """What a consumer keeps: one result for each identity."""
    kept: dict[Identity, dict[str, Any]] = {}
    for record in records:
        result = json.loads(record.value)
        before = kept.setdefault((result["transcript_id"], result["source"]), result)
        if result["kafka_timestamp"] >= before["kafka_timestamp"]:
            kept[result["transcript_id"], result["source"]] = result
    return kept


def assert_each_row_has_its_result(flow: Flow, records: Iterable[Any]) -> None:
    """Every row says what the newest result of its identity says."""
    results = newest(records)
    for row in flow.rows():
        result = results[row["transcript_id"], row["source"]]
        scores = result.pop("scores")
        assert list(scores.values()) == pytest.approx([row[name] for name in scores], abs=1e-6)
        moments = (result.pop("processed_at"), result.pop("spoken_at"))
        assert all(moments)
        assert result == {name: row[name] for name in result}


def test_every_row_has_a_result_of_the_published_schema_and_a_call_keeps_its_order(
    flow: Flow, results_topic: str
) -> None:
    flow.publish(100)
    flow.publish_calls(10)
    flow.publish_raw([*BAD, '{"text": "алло", "session_id": "s-1", "speaker": "оператор", "id": "a#1"}'.encode()])
    worker = flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert worker.stop() == 0

    records = flow.records(results_topic)

    strict = msgspec.json.Decoder(Result)
    schema = json.loads((ROOT / "schemas" / "result.schema.json").read_bytes())["$defs"]["Result"]
    for record in records:
        strict.decode(record.value)
        assert list(json.loads(record.value)) == list(schema["properties"])
    assert_each_row_has_its_result(flow, records)
    assert {result["role"] for result in newest(records).values()} == {None, "agent"}
    assert "фраза".encode() not in b"".join(record.value for record in records)
    said = [(record, json.loads(record.value)) for record in records]
    for call in {result["session_id"] for _, result in said} - {None}:
        own = [(record, result) for record, result in said if result["session_id"] == call]
        assert {record.key for record, _ in own} == {call.encode()}
        assert len({record.partition for record, _ in own}) == 1
        places = [(result["kafka_offset"], result["part"] or 0) for _, result in own]
        assert all(before < after for before, after in pairwise(places))


@pytest.mark.parametrize("gap", RESULT_GAPS)
def test_a_killed_worker_loses_no_result_and_sends_each_before_its_row(
    flow: Flow, results_topic: str, gap: str
) -> None:
    flow.publish(300)
    doomed = flow.start(STUB_DIES_AT=gap, STUB_DIES_AFTER="2", WORKER_DATABASE_CONNECTIONS="1")
    assert doomed.wait() == -signal.SIGKILL
    before = flow.records(results_topic)
    rows = {(row["transcript_id"], row["source"]) for row in flow.rows()}

    assert rows <= set(newest(before))
    assert (rows < set(newest(before))) == ("not committed" in gap)

    flow.publish_calls(10)
    heir = flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert heir.stop() == 0
    records = flow.records(results_topic)
    flow.assert_each_once()
    assert_each_row_has_its_result(flow, records)
    places = Counter(
        (result["kafka_partition"], result["kafka_offset"], result["part"]) for result in map(_read, records)
    )
    assert (max(places.values()) > 1) == ("not committed" in gap)


def _read(record: Any) -> dict[str, Any]:
    return dict(json.loads(record.value))


def test_without_the_setting_and_in_a_backfill_no_result_is_sent(flow: Flow, results_topic: str) -> None:
    flow.publish(20)
    live = flow.start(WORKER_KAFKA_RESULTS_TOPIC="")
    flow.wait_for_rows(20)
    assert live.stop() == 0
    again = flow.start(STUB_BACKFILL=f"0/{int(time.time() * 1000)}", STUB_VERSION="again")
    assert again.wait() == 0

    assert {row["model_version"] for row in flow.rows()} == {"again"}
    assert flow.records(results_topic) == []


def test_topics_that_are_missing_are_named_together_with_a_command_that_makes_them(
    flow: Flow, kafka_launcher: Launcher
) -> None:
    names = {"WORKER_KAFKA_DEAD_LETTER_TOPIC": f"{flow.topic}.bad", "WORKER_KAFKA_RESULTS_TOPIC": f"{flow.topic}.good"}
    worker = flow.start(**names)
    assert worker.wait() == 2
    (said,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert f"there is no topic {flow.topic}.bad and no topic {flow.topic}.good on {flow.bootstrap}" in said

    tool = shlex.join(kafka_launcher.tool("kafka-topics.sh"))
    subprocess.run(["sh", "-ec", said.split("`")[1].replace("kafka-topics.sh", tool)], check=True)

    flow.publish(5)
    flow.start(**names)
    flow.wait_for_rows(5)
    assert len(flow.records(f"{flow.topic}.good")) == 5


def test_the_example_of_a_consumer_alerts_once_on_each_angry_customer(flow: Flow, results_topic: str) -> None:
    messages = [{"text": f"фраза {number}", "session_id": f"call-{number}", "id": str(number)} for number in range(40)]
    flow.publish_raw(json.dumps(message).encode() for message in [*messages, *messages])
    flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")
    angry = {row["session_id"] for row in flow.rows() if "anger" in row["emotions"]}

    command = [sys.executable, str(ROOT / "examples" / "angry_customers.py"), flow.bootstrap, results_topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as consumer:
        alerts = [line.partition(":")[0] for line in islice(consumer.stdout or (), len(angry))]
        consumer.terminate()

    assert angry
    assert sorted(alerts) == sorted(angry)

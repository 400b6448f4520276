"""What a running worker tells its supervisor and its monitoring."""

import pytest
from flow import BAD, Flow
from probe import Probe
from services import wait_for

pytestmark = pytest.mark.kafka


def test_the_metrics_count_records_rows_dead_letters_stages_and_lag(flow: Flow) -> None:
    flow.publish(200)
    flow.publish_raw([*BAD, b'{"text": "\xd1\x8f\xd0\xb4"}'])  # The last is the stub's poison.
    worker = flow.start()
    wait_for(flow.stored_to_the_end, "the end of the log")
    probe = Probe(worker)
    wait_for(lambda: probe.metrics()["emotion_records_total",] == 204, what="the counts")

    metrics = probe.metrics()

    assert metrics["emotion_rows_total",] == 200
    assert metrics["emotion_dead_letters_total", "InvalidTranscript", "decode"] == len(BAD)
    assert metrics["emotion_dead_letters_total", "RejectedData", "classify"] == 1
    assert metrics["emotion_model_info", "stub-1"] == 1
    # The main thread logs a chunk a moment after the storage thread has counted it.
    wait_for(
        lambda: sum(line["records"] for line in worker.said("stored a chunk")) == 204, what="the last chunk's line"
    )
    parts = len(worker.said("stored a chunk"))  # Each storage has its part of a chunk.
    assert metrics["emotion_stage_seconds_count", "inference"] == len(worker.said("classifying a chunk"))
    assert metrics["emotion_stage_seconds_count", "storage"] > parts  # Claims are stored, too.
    assert metrics["emotion_chunk_latency_seconds_count",] == parts
    assert probe.get("/nothing")[0] == 404
    assert worker.stop() == 0


def test_the_lag_is_that_of_each_partition_and_falls_to_nothing(flow: Flow) -> None:
    flow.publish(300)
    # While another session holds the table, nothing is stored.
    with flow._engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE emotion_results")
        worker = flow.start(STUB_HASTY="1")
        probe = Probe(worker)
        wait_for(lambda: sum(probe.lags()) > 0, "some lag")
    wait_for(lambda: probe.lags() == [0] * 4, "no lag in any partition")
    assert flow.count() == 300
    assert worker.stop() == 0


def test_a_worker_is_ready_once_its_partitions_are_claimed(flow: Flow) -> None:
    # While another session holds the table, no claim can be answered.
    with flow._engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE consumer_offsets")
        worker = flow.start()
        probe = Probe(worker)
        wait_for(lambda: worker.said("partitions came"), "partitions")
        wait_for(lambda: "not claimed yet" in probe.get("/readyz")[1], what="the end of the first turn")
        assert probe.get("/readyz")[0] == 503
        assert probe.get("/healthz") == (200, "ok\n")

    wait_for(lambda: probe.get("/readyz") == (200, "ok\n"), "readiness")
    assert len(worker.said("partition claimed")) == 4
    assert worker.stop() == 0


def complaints(probe: Probe) -> list[str]:
    """Return what both checks complain of, once they do."""
    answers = [probe.get(path) for path in ("/healthz", "/readyz")]
    return [said for _, said in answers] if {status for status, _ in answers} == {503} else []


def test_a_worker_that_gets_nowhere_is_unhealthy_until_it_does(flow: Flow) -> None:
    worker = flow.start(STUB_SECONDS="4", WORKER_STUCK_AFTER_S="1")
    probe = Probe(worker)
    wait_for(lambda: probe.get("/healthz") == probe.get("/readyz") == (200, "ok\n"), "a good start")

    flow.publish(1)

    # Both within the seconds that the model takes.
    answers = wait_for(lambda: complaints(probe), "the complaint")
    assert all("nothing was classified or stored for" in answer for answer in answers)
    flow.wait_for_rows(1)
    wait_for(lambda: probe.get("/healthz") == (200, "ok\n"), "recovery")
    assert worker.stop() == 0

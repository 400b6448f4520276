"""Memory is bounded in bytes while records wait that cannot be stored."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow import Flow, WorkerProcess
from probe import Probe
from services import wait_for

pytestmark = pytest.mark.kafka

MB = 1_000_000
MESSAGE_BYTES = 430_000
MESSAGES = 500


def large(count: int) -> Iterator[bytes]:
    """Messages as a recognizer writes them that tells all it knows: little of it is the text."""
    filling = "я" * (MESSAGE_BYTES // 2)
    for number in range(count):
        yield json.dumps({"text": f"фраза номер {number}", "words": filling}, ensure_ascii=False).encode()


def resident_bytes(worker: WorkerProcess, which: str) -> int:
    """Its resident memory: VmRSS is that of now, VmHWM the most so far. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{which}:"))


def wait_until_nothing_more_is_read(worker: WorkerProcess) -> None:
    """Wait for twenty polls in a row that bring no record."""
    probe = Probe(worker)
    seen: list[float] = [0, 0]

    def rests() -> bool:
        metrics = probe.metrics()
        polls, decoded = (metrics["emotion_stage_seconds_count", stage] for stage in ("poll", "decode"))
        if decoded != seen[1]:
            seen[:] = polls, decoded
        return decoded > 0 and polls - seen[0] >= 20

    wait_for(rests, "the polls to bring nothing")


def test_large_messages_that_cannot_be_stored_yet_are_held_within_the_byte_budget_and_stored_later(flow: Flow) -> None:
    worker = flow.start(WORKER_MAX_RECORDS="1024", WORKER_MAX_HELD_BYTES=str(32 * MB))
    wait_for(lambda: len(worker.said("partition claimed")) == 4, "the claims")
    before = resident_bytes(worker, "VmRSS")
    with flow._engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE emotion_results IN ACCESS EXCLUSIVE MODE")
        flow.publish_raw(large(MESSAGES))
        wait_until_nothing_more_is_read(worker)
        assert flow.query("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
        grown = resident_bytes(worker, "VmHWM") - before
    assert grown < 100 * MB < MESSAGES * MESSAGE_BYTES
    flow.wait_for_rows(MESSAGES)
    assert worker.stop() == 0
    assert sorted(row["text"] for row in flow.rows()) == sorted(f"фраза номер {n}" for n in range(MESSAGES))


def test_a_message_larger_than_the_whole_byte_budget_passes(flow: Flow) -> None:
    flow.publish(20)
    flow.publish_raw(large(3))
    flow.start(WORKER_MAX_HELD_BYTES="1000")
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert flow.count() == 23

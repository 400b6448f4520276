"""The benchmarks run and print what they promise; how fast is not a matter of tests."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from services import PATIENCE_S

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> Any:
    command = [sys.executable, str(BENCHMARKS / script), "--json", *arguments]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S)
    return json.loads(finished.stdout)


def test_end_to_end_measures_rate_latency_memory_and_stages_of_the_flow() -> None:
    result = run("end_to_end.py", "--stub", "--messages", "2000", "--max-records", "256", "--trickle-seconds", "0.5")
    assert result["messages"] == 2000
    assert result["ours_msg_per_s"] > 0
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert result["peak_rss_mb"] > 1
    assert set(result["stages"]) == {"poll", "decode", "inference", "storage"}
    assert result["naive_msg_per_s"] is result["ratio"] is None


def test_memory_is_told_after_each_portion() -> None:
    result = run("memory.py", "--messages", "900", "--every", "300")
    assert result["every"] == 300
    assert len(result["rss_mb"]) == 3
    assert all(size > 1 for size in result["rss_mb"])


def test_memory_while_the_table_is_locked_is_told_for_small_and_large_messages() -> None:
    small, large = run("memory.py", "--locked", "--locked-bytes", "2000000", "--locked-seconds", "1")
    assert (small["messages"], large["messages"]) == (500, 4)
    assert all(1 < each["idle_mb"] <= each["locked_mb"] for each in (small, large))


def test_published_messages_are_distinct_valid_and_half_of_them_named() -> None:
    script = "import sys; from harness import transcripts; sys.stdout.buffer.writelines(transcripts(0, 5000))"
    finished = subprocess.run([sys.executable, "-c", script], cwd=BENCHMARKS, check=True, stdout=subprocess.PIPE)
    decoder = json.JSONDecoder()
    content, place, messages = finished.stdout.decode(), 0, []
    while place < len(content):
        message, place = decoder.raw_decode(content, place)
        messages.append(message)
    assert len({message["text"] for message in messages}) == len(messages) == 5000
    assert sum("id" in message for message in messages) == 2500
    assert all(len(list(call)) == 20 for _, call in itertools.groupby(messages, key=lambda each: each["session_id"]))

"""The line that a log without monitoring has to do with."""

import time

from makers import chunk_of, partition, utterances
from structlog.testing import capture_logs

from worker.observability.metrics import Metrics
from worker.records import Chunk


def chunk_opened_before(seconds: float, size: int) -> Chunk:
    chunk = chunk_of(utterances(["да"] * size))
    chunk.opened_at = time.monotonic() - seconds
    return chunk


def test_the_progress_line_tells_of_the_period_since_the_last_one() -> None:
    metrics = Metrics()
    metrics.set_lag({partition(0): 7, partition(1): 5})
    metrics.stored(chunk_opened_before(100, size=90))
    metrics.stored(chunk_opened_before(50, size=30))

    with capture_logs() as lines:
        metrics.report(60)
        metrics.stored(chunk_opened_before(20, size=6))
        metrics.set_lag({partition(0): 1})
        metrics.report(60)

    told = [(line["event"], line["records"], line["records_per_s"], line["lag"]) for line in lines]
    assert told == [("progress", 120, 2.0, 12), ("progress", 126, 0.1, 1)]
    first, second = (line["slowest_chunk_s"] for line in lines)
    assert first >= 100
    assert 20 <= second < 100


def test_counters_with_labels_begin_at_zero() -> None:
    value = Metrics().registry.get_sample_value
    assert value("emotion_dead_letters_total", {"stage": "decode", "reason": "InvalidTranscript"}) == 0
    assert value("emotion_outages_total", {"what": "kafka"}) == 0
    assert value("emotion_shadow_records_total", {"outcome": "failed"}) == 0


def test_a_scrape_asks_whether_the_worker_takes_part() -> None:
    metrics, answers = Metrics(), iter((False, True))
    metrics.watch_readiness(lambda: next(answers))
    values = [metrics.registry.get_sample_value("emotion_ready") for _ in range(2)]
    assert values == [0, 1]

"""What can be measured from outside: Prometheus metrics of one worker, in a registry of its own."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from worker.records import Chunk, Partition, all_parts

log = structlog.get_logger(__name__)

_REJECTIONS = (("decode", "InvalidTranscript"), ("classify", "RejectedData"), ("store", "RejectedData"))
"""Stages that reject records, and their usual reason."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The worker's counters; any thread may write them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._records = Counter(
            "emotion_records", "Records stored, dead-lettered or without a value", registry=registry
        )
        self._rows = Counter("emotion_rows", "Rows written to emotion_results", registry=registry)
        self._overwritten = Counter(
            "emotion_rows_overwritten",
            "Rows of one session that a message of another session with the same source and id overwrote",
            registry=registry,
        )
        self._outdated = Counter(
            "emotion_outdated_records", "Records left out, since the row is of a newer record", registry=registry
        )
        self._not_scored = Counter(
            "emotion_not_scored", "Transcripts stored without scores, by reason", ["reason"], registry=registry
        )
        self._tombstones = Counter("emotion_tombstones", "Records without a value", registry=registry)
        self._deleted = Counter(
            "emotion_rows_deleted",
            "Rows deleted by tombstones, or of a message that came again in fewer parts",
            registry=registry,
        )
        self._erased = Counter(
            "emotion_erased_records", "Records left out, since they were erased for good", registry=registry
        )
        self._dead_letters = Counter(
            "emotion_dead_letters",
            "Records sent to the dead-letter topic",
            ["stage", "reason"],
            registry=registry,
        )
        self._stages = Histogram(
            "emotion_stage_seconds",
            "Time of a chunk in a stage; poll and decode: of a turn of the main loop, waiting included",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "emotion_chunk_latency_seconds",
            "From the first record of a chunk until it is stored",
            buckets=_SECONDS,
            registry=registry,
        )
        self.fenced_records = Counter(
            "emotion_fenced_records",
            "Records that the database refused since their partition has another owner or another offset",
            registry=registry,
        )
        self._hidden = Gauge(
            "emotion_hidden_records",
            "Records behind a transaction that no producer has ended; they cannot be read yet",
            ["topic", "partition"],
            registry=registry,
        )
        self.silent_partitions = Gauge(
            "emotion_silent_partitions", "Assigned partitions that no broker answers for", registry=registry
        )
        self._lag = Gauge("emotion_lag_records", "Records not stored yet", ["topic", "partition"], registry=registry)
        self.useful_tokens = Counter("emotion_tokens", "Tokens of texts that were classified", registry=registry)
        self.padded_tokens = Counter(
            "emotion_padded_tokens", "Tokens of their batches, padding included", registry=registry
        )
        self.outages = Counter(
            "emotion_outages", "How often Kafka or Postgres was found away", ["what"], registry=registry
        )
        self.shadow = Counter(
            "emotion_shadow_records",
            "Records of the shadow's share: scored, failed, or dropped since there was no time for them",
            ["outcome"],
            registry=registry,
        )
        self.shadow_failures = Counter(
            "emotion_shadow_failures", "How often the shadow could not load, score or store", registry=registry
        )
        self._model = Gauge("emotion_model_info", "The model that serves", ["version"], registry=registry)
        self.swap_failures = Counter(
            "emotion_model_swap_failures", "How often the champion could not be loaded", registry=registry
        )
        self.behind = Gauge(
            "emotion_model_behind", "1 while the registry's champion is not the model that serves", registry=registry
        )
        self._ready = Gauge("emotion_ready", "1 while the worker takes part, as /readyz says", registry=registry)
        ProcessCollector(registry=registry)
        # A counter that first appears with a value shows no increase: a first burst would ring no alert.
        for labels in _REJECTIONS:
            self._dead_letters.labels(*labels)
        for service in ("kafka", "postgres"):
            self.outages.labels(service)
        for outcome in ("scored", "failed", "dropped"):
            self.shadow.labels(outcome)
        self.records = 0
        """Records done since the start, for the log."""
        self.passes = 0
        """Forward passes of the model since the start; a sign of life, written by the model's thread alone."""
        self._slowest_chunk_s = 0.0
        self._reported = 0
        self._lag_now = 0
        self._hidden_now = 0

    def watch_readiness(self, is_ready: Callable[[], bool]) -> None:
        """Publish whether the worker takes part, asked at each scrape."""
        self._ready.set_function(lambda: float(is_ready()))

    def serve_model(self, version: str) -> None:
        """Name the model that serves from now on."""
        self._model.clear()
        self._model.labels(version).set(1)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure how long a stage takes for a chunk, or the main loop for a part of its turn."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(name).observe(time.perf_counter() - start)

    def stage_seconds(self) -> dict[str, float]:
        """Return the seconds spent in each stage since the start."""
        return {
            sample.labels["stage"]: sample.value
            for family in self._stages.collect()
            for sample in family.samples
            if sample.name.endswith("_sum")
        }

    def stored(self, chunk: Chunk) -> None:
        """Count a chunk whose transaction is committed."""
        self._records.inc(len(chunk))
        self._rows.inc(chunk.written.rows)
        self._overwritten.inc(chunk.written.overwritten)
        self._outdated.inc(chunk.written.outdated)
        self._tombstones.inc(len(chunk.tombstones))
        self._deleted.inc(chunk.written.deleted)
        self._erased.inc(chunk.written.erased)
        for utterance in all_parts(chunk.utterances):
            if utterance.not_scored:
                self._not_scored.labels(utterance.not_scored).inc()
        for item in chunk.rejected:
            self._dead_letters.labels(item.stage, type(item.error).__name__).inc()
        if not len(chunk):
            return  # It has no first record.
        latency = time.monotonic() - chunk.opened_at
        self._latency.observe(latency)
        with self._lock:
            self.records += len(chunk)
            self._slowest_chunk_s = max(self._slowest_chunk_s, latency)

    def set_lag(self, lags: Mapping[Partition, int]) -> None:
        """Publish the lag of the partitions that are read now, and of no others."""
        self._lag.clear()
        self._lag_now = sum(lags.values())
        for partition, lag in lags.items():
            self._lag.labels(partition.topic, partition.partition).set(lag)

    def set_hidden(self, hidden: Mapping[Partition, int]) -> None:
        """Publish how many records open transactions hide, of the partitions that are read now."""
        self._hidden.clear()
        self._hidden_now = sum(hidden.values())
        for partition, records in hidden.items():
            self._hidden.labels(partition.topic, partition.partition).set(records)

    def report(self, period_s: float) -> None:
        """Log one line on the last ``period_s`` seconds."""
        log.info(
            "progress",
            records=self.records,
            records_per_s=round((self.records - self._reported) / period_s, 1),
            lag=self._lag_now,
            hidden_by_transactions=self._hidden_now,
            slowest_chunk_s=round(self._slowest_chunk_s, 3),
        )
        self._reported = self.records
        self._slowest_chunk_s = 0.0

"""What can be measured from outside: Prometheus metrics of one worker, in a registry of its own."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker.records import Chunk, Partition

log = structlog.get_logger(__name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The worker's counters; any thread may write them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._records = Counter("emotion_records", "Records stored or dead-lettered", registry=registry)
        self._rows = Counter("emotion_rows", "Rows written to emotion_results", registry=registry)
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
        self.records = 0
        """Records done since the start, for the log."""
        self.passes = 0
        """Forward passes of the model since the start; a sign of life, written by the model's thread alone."""
        self._slowest_chunk_s = 0.0
        self._reported = 0
        self._lag_now = 0

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
        self._rows.inc(len(chunk.utterances))
        for item in chunk.rejected:
            self._dead_letters.labels(item.stage, type(item.error).__name__).inc()
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

    def report(self, period_s: float) -> None:
        """Log one line on the last ``period_s`` seconds."""
        log.info(
            "progress",
            records=self.records,
            records_per_s=round((self.records - self._reported) / period_s, 1),
            lag=self._lag_now,
            slowest_chunk_s=round(self._slowest_chunk_s, 3),
        )
        self._reported = self.records
        self._slowest_chunk_s = 0.0

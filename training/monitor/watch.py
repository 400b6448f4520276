"""What a schedule does and tells between its runs: metrics over HTTP, and once a day a comparison of the results."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge, Metric, ProcessCollector, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from registry.errors import ConfigurationError
from training.monitor.run_metrics import RunMetrics

log = structlog.get_logger(__name__)

COMPARE_EACH: Final = timedelta(days=1)
"""How often the last results are compared with those before."""


class Watch:
    """The metrics of a schedule: those of the runs, of drift, of the process and the date of the next run.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        drift_file: where `compare_results` leaves the metrics of its comparison.
        compare_results: compares the last results with those before.
    """

    def __init__(self, engine: Engine, drift_file: Path, compare_results: Callable[[], object]) -> None:
        self._compare_results = compare_results
        self._compare_at = datetime.min.replace(tzinfo=UTC)
        self.registry = CollectorRegistry()
        self._next_run = Gauge(
            "emotion_training_next_run_timestamp_seconds",
            "Date of the run that is waited for, or that goes on",
            registry=self.registry,
        )
        # No date yet: 0 would be one of 1970, which alerts take for overdue.
        self._next_run.set(nan)
        self.registry.register(RunMetrics(engine))
        self.registry.register(_TextFile(drift_file))
        ProcessCollector(registry=self.registry)

    def meanwhile(self, date: datetime) -> None:
        """Publish the date of the next run, and compare the results once a day; a run that is due comes first."""
        self._next_run.set(date.timestamp())
        now = datetime.now(UTC)
        if self._compare_at <= now < date:
            self._compare_at = now + COMPARE_EACH
            self._compare_results()

    def serve(self, host: str, port: int) -> int:
        """Serve /metrics from a daemon thread.

        Returns:
            The port, also where 0 was asked for.

        Raises:
            ConfigurationError: the port is taken.
        """
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error}. Choose another --http-port") from error
        log.info("serving metrics", host=host, port=server.server_port)
        return int(server.server_port)


class _TextFile(Collector):
    """The metrics that another process wrote to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def describe(self) -> list[Metric]:
        """Return nothing: which metrics there are is known by the file."""
        return []

    def collect(self) -> Iterator[Metric]:
        with suppress(FileNotFoundError):
            yield from text_string_to_metric_families(self._file.read_text(encoding="utf-8"))

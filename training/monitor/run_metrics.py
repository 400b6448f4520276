"""What can be measured of retraining from outside, asked of Postgres, which knows the runs of all processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select

from registry.errors import ConfigurationError
from registry.postgres import DatabaseAway, database_problems
from schemas.tables import RUN_STATES, training_runs
from training.errors import UnusableOutput
from training.retrain.run_history import labels_waiting

log = structlog.get_logger(__name__)

_COLUMNS: Final = training_runs.c


class RunMetrics(Collector):
    """When runs of each state were last there, and how many labels wait for the next one.

    Each scrape asks the database. While that is away or refuses, there are no figures, but those of others go out.

    Args:
        engine: SQLAlchemy engine connected to the results database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families without figures: a registry asks for their names before there need be a database."""
        yield GaugeMetricFamily(
            "emotion_training_last_run_timestamp_seconds",
            "When the latest run of a state ended, or began where it is running; 0 where there was none",
            labels=["state"],
        )
        yield GaugeMetricFamily(
            "emotion_training_labels_waiting",
            "Labels that came in since a run last judged some against the champion, or since the champion learnt",
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures of now."""
        last_runs, waiting = self.describe()
        try:
            moments = self._last_runs()
            waiting.add_metric([], labels_waiting(self._engine))
        except (DatabaseAway, ConfigurationError) as error:
            log.warning("the metrics of runs are left out", error=str(error))
            return
        for state in RUN_STATES:
            last_runs.add_metric([state], moments.get(state, 0))
        yield from (last_runs, waiting)

    def _last_runs(self) -> dict[str, float]:
        moment = func.extract("epoch", func.max(func.coalesce(_COLUMNS.finished_at, _COLUMNS.started_at)))
        with database_problems(), self._engine.connect() as connection:
            rows = connection.execute(select(_COLUMNS.state, moment).group_by(_COLUMNS.state))
            return {state: float(last) for state, last in rows}


def write_run_metrics(file: Path, engine: Engine) -> None:
    """Write the figures of now for the textfile collector of Prometheus' node exporter.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    registry = CollectorRegistry()
    registry.register(RunMetrics(engine))
    write_textfile(file, registry)


def write_textfile(file: Path, registry: CollectorRegistry) -> None:
    """Write a registry to a file; a reader sees the old file or the new one, and no half of either.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    try:
        write_to_textfile(str(file), registry)
    except OSError as error:
        raise UnusableOutput(f"{file} cannot be written: {error.strerror}. Name another --metrics") from error

"""The metrics of retraining, as Prometheus reads them: of runs and labels in a real Postgres."""

import socket
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from services import engine_fixture
from sqlalchemy import Engine, create_engine, insert

from registry.errors import ConfigurationError
from schemas.tables import labelled_texts, model_versions, training_runs
from training.database import connect
from training.errors import UnusableOutput
from training.monitor.run_metrics import write_run_metrics
from training.monitor.watch import Watch

engine = engine_fixture(connect)

MONDAY = datetime(2026, 11, 2, 3, tzinfo=UTC)
LAST_RUN = "emotion_training_last_run_timestamp_seconds"
WAITING = "emotion_training_labels_waiting"


def figures(text: str) -> dict[tuple[str, ...], float]:
    """The value of each name and its labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def written(engine: Engine, tmp_path: Path) -> Callable[[], dict[tuple[str, ...], float]]:
    def write() -> dict[tuple[str, ...], float]:
        write_run_metrics(tmp_path / "runs.prom", engine)
        return figures((tmp_path / "runs.prom").read_text(encoding="utf-8"))

    return write


def add_run(engine: Engine, state: str, began: datetime, hours: int | None = None, **columns: object) -> None:
    ended = None if hours is None else began + timedelta(hours=hours)
    row = {"state": state, "started_at": began, "finished_at": ended, **columns}
    with engine.begin() as connection:
        connection.execute(insert(training_runs).values(row))


def add_label(engine: Engine, text: str, at: datetime) -> None:
    row = {"text": text, "emotions": ["joy"], "origin": "calls", "labelled_at": at, "imported_at": at}
    with engine.begin() as connection:
        connection.execute(insert(labelled_texts).values(row))


def test_the_latest_run_of_each_state_has_its_moment(
    engine: Engine, written: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    assert {value for name, value in written().items() if name[0] == LAST_RUN} == {0}
    add_run(engine, "promoted", MONDAY, 2)
    add_run(engine, "failed", MONDAY + timedelta(days=7), 1)
    add_run(engine, "promoted", MONDAY + timedelta(days=14), 3)
    add_run(engine, "running", MONDAY + timedelta(days=21))
    found = written()
    assert found[LAST_RUN, "promoted"] == (MONDAY + timedelta(days=14, hours=3)).timestamp()
    assert found[LAST_RUN, "failed"] == (MONDAY + timedelta(days=7, hours=1)).timestamp()
    assert found[LAST_RUN, "running"] == (MONDAY + timedelta(days=21)).timestamp()
    assert found[LAST_RUN, "rejected"] == 0


def test_labels_wait_that_no_run_has_judged_against_the_champion(
    engine: Engine, written: Callable[[], dict[tuple[str, ...], float]]
) -> None:
    for day in range(4):
        add_label(engine, f"рада {day}", MONDAY + timedelta(days=day))
    assert written()[WAITING,] == 4, "without a champion, all of them"
    champion = {"version": "one", "state": "champion", "location": "/one", "data_fingerprint": "f", "base_model": "b"}
    with engine.begin() as connection:
        moment = MONDAY + timedelta(hours=1)
        connection.execute(insert(model_versions).values(**champion, metrics={}, created_at=moment))
    assert written()[WAITING,] == 3, "those after the champion was made"
    judged = {"champion": {"version": "one"}, "snapshot": {"taken_at": (MONDAY + timedelta(days=2)).isoformat()}}
    add_run(engine, "rejected", MONDAY + timedelta(days=2), 1, details=judged)
    assert written()[WAITING,] == 1, "those after the run that judged"


def test_a_file_that_cannot_be_written_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UnusableOutput, match="Name another --metrics"):
        write_run_metrics(tmp_path / "nowhere" / "runs.prom", engine)


def test_a_schedule_serves_its_next_date_the_runs_and_the_last_comparison_of_results(
    engine: Engine, tmp_path: Path
) -> None:
    compared = []
    watch = Watch(engine, tmp_path / "drift.prom", lambda: compared.append(1))
    port = watch.serve("127.0.0.1", 0)

    def served() -> dict[tuple[str, ...], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return figures(answer.read().decode())

    assert ("emotion_drift_found",) not in served()
    assert isnan(served()["emotion_training_next_run_timestamp_seconds",]), "no date of 1970, which is overdue"
    (tmp_path / "drift.prom").write_text("emotion_drift_found 1.0\n", encoding="utf-8")
    watch.meanwhile(MONDAY)
    assert not compared, "a run that is due comes first"
    for _ in range(3):
        watch.meanwhile(datetime(2100, 1, 1, tzinfo=UTC))
    found = served()
    assert compared == [1], "once a day"
    assert found["emotion_drift_found",] == 1
    assert found["emotion_training_next_run_timestamp_seconds",] == datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    assert found[LAST_RUN, "promoted"] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_while_the_database_is_away_the_rest_is_served(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = connect(f"postgresql://u@127.0.0.1:{nobody.getsockname()[1]}/nothing")
        write_run_metrics(tmp_path / "runs.prom", away)
    assert figures((tmp_path / "runs.prom").read_text(encoding="utf-8")) == {}


def test_while_the_database_refuses_the_rest_is_served(engine: Engine, tmp_path: Path) -> None:
    without_tables = create_engine(engine.url.set(database="postgres"))
    port = Watch(without_tables, tmp_path / "drift.prom", lambda: None).serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        found = figures(answer.read().decode())
    assert found["process_resident_memory_bytes",] > 0
    assert (WAITING,) not in found
    without_tables.dispose()


def test_a_port_that_is_taken_is_named(engine: Engine, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigurationError, match="Choose another --http-port"):
            Watch(engine, tmp_path / "drift.prom", lambda: None).serve("127.0.0.1", other.getsockname()[1])

"""A schedule on a real Postgres: runs are never beside each other, none is forgotten, and none takes it down."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from services import PATIENCE_S, Postgres, engine_fixture, wait_for
from sqlalchemy import Engine, insert, select, text

from schemas.tables import training_runs
from training.database import connect
from training.retrain.schedule import Job, keep_to, run_once
from training.signals import Interrupted, StopSignal, on_signals

# A schedule whose date comes each second, or in a hundred years, and a job that does what it is told.
SCHEDULE = """
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from training.database import connect
from training.retrain.schedule import Job, keep_to
from training.signals import Interrupted, on_signals
url, work, dates, *command = sys.argv[1:]
each = {
    "second": lambda moment: moment + timedelta(seconds=1),
    "year": lambda moment: datetime(moment.year + 1, 1, 1, tzinfo=UTC),
}
with suppress(Interrupted), on_signals() as stop:
    keep_to(each[dates], connect(url), Job([sys.executable, *command], Path(work)), stop)
"""
JOB = """
import os, sys, time
from pathlib import Path
from training.database import connect
from training.retrain.runs import exclusive_run
from training.signals import on_signals
url, work, what = sys.argv[1:]
with on_signals() as stop, exclusive_run(connect(url), Path(work), stop) as run:
    (run.folder / "begun").touch()
    if what == "crash":
        raise RuntimeError("CUDA error: an illegal memory access")
    if what == "die":
        os.kill(os.getpid(), 9)
    while what == "wait" and not run.resumed:
        time.sleep(0.05)
    run.finish("skipped", "nothing to do")
"""


engine = engine_fixture(connect)


class Schedule:
    """A process that keeps to a schedule, and what it says."""

    def __init__(self, url: str, folder: Path, dates: str, what: str) -> None:
        self.work = folder / "work"
        self._log = folder / "log"
        job = ("-c", JOB, url, str(self.work), what)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCHEDULE, url, str(self.work), dates, *job], stdout=log, stderr=log
            )

    def says(self, what: str) -> None:
        wait_for(lambda: what in self.said(), f"{what!r}")

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def begun(self) -> Path:
        """Return the folder of a run that goes on."""
        return wait_for(lambda: next(self.work.glob("*/begun"), None), "a run").parent

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.wait(PATIENCE_S) == 0, self.said()


@pytest.fixture
def schedule(postgres_url: str, tmp_path: Path) -> Iterator[Callable[[str, str], Schedule]]:
    started = []

    def start(dates: str, what: str) -> Schedule:
        started.append(Schedule(postgres_url, tmp_path, dates, what))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            for child in psutil.Process(one.process.pid).children(recursive=True):
                child.kill()
        one.process.kill()
        one.process.wait()


def runs(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(training_runs).order_by(training_runs.c.id)))


def states(engine: Engine) -> list[str]:
    return [run.state for run in runs(engine)]


def long_ago(engine: Engine, state: str = "promoted") -> None:
    with engine.begin() as connection:
        started = text("now() - interval '2 years'")
        connection.execute(insert(training_runs).values(state=state, started_at=started))


def test_a_run_that_was_missed_is_caught_up_with_once(engine: Engine, schedule: Callable[[str, str], Schedule]) -> None:
    long_ago(engine)
    first = schedule("year", "finish")
    first.says("the next run")
    wait_for(lambda: states(engine) == ["promoted", "skipped"], "the run")
    wait_for(lambda: first.said().count("the next run") == 2, "the next date")
    first.end()
    assert first.said().count("a run was missed") == 1

    second = schedule("year", "finish")
    wait_for(lambda: second.said().count("the next run") == 3, "the next date")
    second.end()
    assert second.said().count("a run was missed") == 1
    assert states(engine) == ["promoted", "skipped"]


def test_before_the_first_run_none_was_missed(engine: Engine, schedule: Callable[[str, str], Schedule]) -> None:
    idle = schedule("year", "finish")
    idle.says("the next run")
    idle.end(signal.SIGINT)
    assert "a run was missed" not in idle.said()
    assert states(engine) == []


def test_a_signal_interrupts_the_run_and_the_next_start_takes_it_up(
    engine: Engine, schedule: Callable[[str, str], Schedule]
) -> None:
    long_ago(engine)
    first = schedule("year", "wait")
    folder = first.begun()
    first.end()
    assert states(engine) == ["promoted", "interrupted"]
    assert folder.is_dir()

    second = schedule("year", "wait")
    second.says("a run was interrupted, and is taken up again")
    wait_for(lambda: states(engine) == ["promoted", "skipped"], "the end of the run")
    second.end()
    assert list(second.work.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "reason"),
    [("crash", "CUDA error: an illegal memory access"), ("die", "its process ended without a word")],
)
def test_a_crash_leaves_a_failed_run_and_the_next_date_stands(
    what: str, reason: str, engine: Engine, schedule: Callable[[str, str], Schedule]
) -> None:
    crashing = schedule("second", what)
    wait_for(lambda: len(runs(engine)) >= 2, "two runs")
    crashing.end()
    first = runs(engine)[0]
    assert (first.state, first.reason) == ("failed", reason)
    assert "a run failed; the next date stands" in crashing.said()
    assert not list(crashing.work.glob(f"run-{first.id}-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_while_the_run_is_being_started_ends_it(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is there, and whoever started it does not know it yet."""
    started = []

    class Signalled(subprocess.Popen[bytes]):
        def __init__(self, command: list[str]) -> None:
            super().__init__(command)
            started.append(self)
            os.kill(os.getpid(), number)

    monkeypatch.setattr("training.retrain.schedule.subprocess.Popen", Signalled)
    with pytest.raises(Interrupted), on_signals() as stop:
        run_once([sys.executable, "-c", "import time; time.sleep(600)"], stop)
    try:
        assert started[0].poll() == -signal.SIGTERM
    finally:
        started[0].kill()


def test_a_signal_whose_interruption_got_lost_ends_the_schedule_before_the_next_date(
    engine: Engine, tmp_path: Path
) -> None:
    """Python drops what is raised while it finalizes an object."""
    long_ago(engine)
    stop = StopSignal()
    stop.set()
    with pytest.raises(Interrupted):
        keep_to(lambda moment: moment, engine, Job(["false"], tmp_path), stop)
    assert states(engine) == ["promoted"]


def test_a_run_of_another_process_is_let_be(engine: Engine, schedule: Callable[[str, str], Schedule]) -> None:
    long_ago(engine)
    first = schedule("year", "wait")
    first.begun()
    second = schedule("second", "finish")
    second.says("another process is retraining")
    second.end()
    assert states(engine) == ["promoted", "running"]
    first.end()


def test_a_database_that_is_away_is_waited_for(own_postgres: Postgres, tmp_path: Path) -> None:
    engine = connect(own_postgres.url())
    long_ago(engine)
    engine.dispose()
    own_postgres.stop()
    patient = Schedule(own_postgres.url(), tmp_path, "year", "finish")
    try:
        patient.says("stamina.retry_scheduled")
        own_postgres.start()
        wait_for(lambda: states(engine) == ["promoted", "skipped"], "the run")
        patient.end()
    finally:
        patient.process.kill()
        patient.process.wait()
        engine.dispose()

"""A signal may come anywhere: whatever library code makes of the interruption, it stays one."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
import stamina
from services import engine_fixture, outage
from sqlalchemy import Engine, insert, select, text

from schemas.tables import training_runs
from training.database import connect
from training.retrain.crontab import crontab
from training.retrain.run_history import labels_since
from training.retrain.runs import Run, exclusive_run
from training.retrain.schedule import Job, keep_to
from training.signals import Interrupted, StopSignal, on_signals

STEP: Final = 7
"""Calls between one place for a signal and the next."""

engine = engine_fixture(connect)


class SignalWithin:
    """Sends this process SIGTERM at one of the calls that a block makes within SQLAlchemy and psycopg."""

    def __init__(self, at: int) -> None:
        self._left = at

    @property
    def came(self) -> bool:
        return self._left <= 0

    def __enter__(self) -> None:
        sys.setprofile(self._count)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, what: str, _argument: object) -> None:
        if what == "call" and frame.f_globals.get("__name__", "").startswith(("sqlalchemy.", "psycopg.")):
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGTERM)


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(training_runs).order_by(training_runs.c.id)))


def test_a_signal_anywhere_in_what_a_schedule_asks_the_database_ends_it(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        long_ago = text("now() - interval '2 years'")
        connection.execute(insert(training_runs).values(state="promoted", started_at=long_ago))
    # The date of last year was missed; where no signal came before, the job sends one.
    job = Job([sys.executable, "-c", f"import os; os.kill({os.getpid()}, {signal.SIGTERM})"], tmp_path)
    for at in count(1, STEP):
        within = SignalWithin(at)
        with pytest.raises(Interrupted), on_signals() as stop, within:
            keep_to(crontab("@yearly"), engine, job, stop)
        if not within.came:
            return


@pytest.mark.parametrize(
    "act",
    [lambda run, _: run.note(rows=300), lambda _, engine: labels_since(engine, datetime.now(UTC))],
    ids=["note", "read"],
)
def test_a_signal_anywhere_in_what_a_run_asks_the_database_interrupts_it(
    act: Callable[[Run, Engine], object], engine: Engine, tmp_path: Path
) -> None:
    for at in count(1, STEP):
        within = SignalWithin(at)
        with pytest.raises(Interrupted), on_signals() as stop, exclusive_run(engine, tmp_path, stop) as run:  # noqa: PT012 - the end of the block is the subject.
            with within:
                act(run, engine)
            signal.raise_signal(signal.SIGTERM)
        [row] = rows(engine)
        assert (row.state, row.reason) == ("interrupted", "stopped by SIGTERM")
        if not within.came:
            return


def test_a_signal_while_a_run_is_begun_leaves_nothing_half_begun(engine: Engine, tmp_path: Path) -> None:
    """The work of a run that was interrupted before goes on, whatever signals come as it is taken up again."""
    with pytest.raises(Interrupted), exclusive_run(engine, tmp_path) as run:  # noqa: PT012 - as above.
        (run.folder / "work").touch()
        raise Interrupted
    for at in count(1, STEP):
        within = SignalWithin(at)
        with pytest.raises(Interrupted), on_signals() as stop, within, exclusive_run(engine, tmp_path, stop) as again:  # noqa: PT012 - as above.
            assert (again.id, again.resumed) == (run.id, True)
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)
        assert [row.state for row in rows(engine)] == ["interrupted"]
        assert (run.folder / "work").exists()
        if not within.came:
            return


@contextmanager
def counted_retries() -> Iterator[list[Any]]:
    """Gives the retries that follow, of which two at most are made."""
    retries: list[Any] = []
    stamina.instrumentation.set_on_retry_hooks([retries.append])
    try:
        with stamina.set_testing(True, attempts=3):
            yield retries
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)


def test_a_run_waits_for_no_database_after_a_signal(engine: Engine, tmp_path: Path) -> None:
    stop, stack = StopSignal(), ExitStack()
    with counted_retries() as retries, stack, pytest.raises(Interrupted), exclusive_run(engine, tmp_path, stop) as run:  # noqa: PT012 - as above.
        stack.enter_context(outage(engine))
        stop.set()
        run.note(rows=300)
    assert not retries
    with exclusive_run(engine, tmp_path) as again:
        assert (again.id, again.resumed) == (run.id, True)
        again.finish("skipped", "too few new labels")


def test_a_schedule_waits_for_no_database_after_a_signal(engine: Engine, tmp_path: Path) -> None:
    with counted_retries() as retries, outage(engine), pytest.raises(Interrupted), on_signals() as stop:  # noqa: PT012 - as above.
        stop.set()
        keep_to(crontab("@yearly"), engine, Job(["false"], tmp_path), stop)
    assert not retries


def test_an_error_without_a_signal_fails_the_run(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), on_signals() as stop, exclusive_run(engine, tmp_path, stop):
        raise ZeroDivisionError("division by zero")
    assert [(row.state, row.reason) for row in rows(engine)] == [("failed", "division by zero")]

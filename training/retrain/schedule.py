"""Retrain at the dates of a cron expression, each run in a process of its own.

Such a process gives back all that a run took, the GPU's memory above all, and takes nobody with it when it crashes. Two
runs never overlap: see `training.retrain.runs`.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import structlog
from sqlalchemy import Engine, select

from registry.postgres import database_problems
from schemas.tables import training_runs
from training.retrain.crontab import Dates
from training.retrain.runs import retry_while_away, sweep
from training.signals import StopSignal

log = structlog.get_logger(__name__)

_LOOK_AT_THE_CLOCK_S: Final = 30
"""A machine that slept, or whose clock was set, is noticed within this time."""

_LONGEST_WAIT_S: Final = 60
"""Between two questions to a database that is away."""


def _wait_only(_date: datetime) -> None:
    """Do nothing between two runs."""


class Job(NamedTuple):
    """What a schedule starts, and what it does meanwhile.

    Attributes:
        command: retrains once.
        work: folder for its work.
        meanwhile: called between the runs, each half minute at most, with the date of the next one.
    """

    command: Sequence[str]
    work: Path
    meanwhile: Callable[[datetime], None] = _wait_only


def keep_to(date_after: Dates, engine: Engine, job: Job, stop: StopSignal) -> NoReturn:
    """Do the job at each date, until a signal comes; first of all, where a run was interrupted or a date was missed.

    Dates that pass while a run goes on are let go.

    Args:
        date_after: gives the first date after a moment, as `crontab` does.
        engine: SQLAlchemy engine connected to the results database, which is waited for where it is away.
        job: what is done.
        stop: where the signal comes.

    Raises:
        Interrupted: by the signal, after the run that was going on has ended at a checkpoint.
        ConfigurationError: the database refuses us, or lacks the tables.
    """
    due = _first_date(date_after, engine, job, stop)
    while True:
        _wait_for(due, job, stop)
        _wait_for_database(engine, job, stop)
        run_once(job.command, stop)
        _wait_for_database(engine, job, stop)
        due = date_after(max(datetime.now(UTC), due))


def _first_date(date_after: Dates, engine: Engine, job: Job, stop: StopSignal) -> datetime:
    _wait_for_database(engine, job, stop)
    latest = select(training_runs.c.state, training_runs.c.started_at).order_by(training_runs.c.id.desc()).limit(1)
    with stop.held(), database_problems(), engine.connect() as connection:
        last = connection.execute(latest).one_or_none()
    now = datetime.now(UTC)
    if last and last.state == "interrupted":
        log.info("a run was interrupted, and is taken up again")
        return now
    if last and (missed := date_after(last.started_at)) <= now:
        log.info("a run was missed, and is caught up with", date=missed.isoformat(" "))
        return now
    return date_after(now)


def _wait_for(date: datetime, job: Job, stop: StopSignal) -> None:
    log.info("the next run", date=date.isoformat(" "))
    # Python drops what a signal's handler raises while an object is finalized: then the signal is heeded here.
    stop.check()
    job.meanwhile(date)
    while (left := (date - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, _LOOK_AT_THE_CLOCK_S))
        stop.check()
        job.meanwhile(date)


def _wait_for_database(engine: Engine, job: Job, stop: StopSignal) -> None:
    """Return when the database answers; what died here meanwhile is called failed."""
    retry_while_away(stop, partial(sweep, engine, job.work), timeout_s=None, longest_wait_s=_LONGEST_WAIT_S)


def run_once(command: Sequence[str], stop: StopSignal) -> None:
    """Start a command that retrains, wait for its end, and say how it was, where it says nothing itself.

    Raises:
        Interrupted: as `run_process`.
    """
    if code := run_process(command, stop):
        log.error("a run failed; the next date stands", exit_code=code)


def run_process(command: Sequence[str], stop: StopSignal) -> int:
    """Start a command, wait for its end, and return its exit code.

    Raises:
        Interrupted: by the signal, which the command gets too, after its end.
    """
    # A signal waits until it is known what there is to end.
    with stop.held():
        process = subprocess.Popen(command)  # noqa: S603 - our own command.
        try:
            with stop.released():
                process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
            log.info("a process ended", exit_code=code)
    return code

"""Retrain at the dates of a cron expression, each run in a process of its own.

Such a process gives back all that a run took, the GPU's memory above all, and takes nobody with it when it crashes. No
two runs are ever beside each other: see `training.runs`.
"""

import re
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, NoReturn
from zoneinfo import ZoneInfoNotFoundError

import stamina
import structlog
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import Engine, select

from schemas.tables import training_runs
from training.database import DatabaseAway, database_problems
from training.errors import TrainingError, first_line
from training.runs import sweep
from training.stopping import Interrupted, StopSignal

log = structlog.get_logger(__name__)

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NUMBERED_DAYS: Final = re.compile(r"([0-7])(?:-([0-7]))?(?:/([1-9]))?")

_LOOK_AT_THE_CLOCK_S: Final = 30
"""A machine that slept, or whose clock was set, is noticed within this time."""

_LONGEST_WAIT_S: Final = 60
"""Between two questions to a database that is away."""


class UnusableSchedule(TrainingError):
    """The cron expression or the time zone cannot be right."""


class Job(NamedTuple):
    """What a schedule starts: a command that retrains once, and the folder for its work."""

    command: Sequence[str]
    work: Path


def crontab(expression: str, timezone: str | None = None) -> BaseTrigger:
    """Return the dates of a cron expression, as cron itself understands it.

    APScheduler counts the days of the week from Monday, cron from Sunday; and where a day of the month and a day of the
    week are given, cron takes the days on which either holds, APScheduler those on which both do.

    Args:
        expression: minute, hour, day of the month, month, day of the week.
        timezone: such as Europe/Moscow; None takes this machine's.

    Raises:
        UnusableSchedule: there is no such expression or zone, or its date never comes.
    """
    fields = expression.split()
    try:
        if len(fields) == 5:  # noqa: PLR2004 - as the docstring lists them.
            *times, day, month, weekday = fields
            weekday = ",".join(map(_named, weekday.split(",")))
            parts = [(day, "*"), ("*", weekday)] if "*" not in {day[0], weekday[0]} else [(day, weekday)]
            expressions = [" ".join((*times, day, month, weekday)) for day, weekday in parts]
        else:
            expressions = [expression]
        trigger = OrTrigger([CronTrigger.from_crontab(one, timezone) for one in expressions])
    except ZoneInfoNotFoundError as error:
        raise UnusableSchedule(f"there is no time zone {timezone}: name one such as Europe/Moscow or UTC") from error
    except ValueError as error:
        raise UnusableSchedule(
            f"{expression!r} is no cron expression: {first_line(error)}. Say minute, hour, day of the month, month and "
            'day of the week, such as "0 3 * * 1" for Mondays at three'
        ) from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise UnusableSchedule(f"the date of {expression!r} never comes")
    return trigger


def _named(days: str) -> str:
    """Return cron's numbered days of the week by name, one by one; anything else as it is."""
    numbered = _NUMBERED_DAYS.fullmatch(days)
    if not numbered:
        return days
    first, last, step = numbered.groups()
    end = int(last or (6 if step else first))
    return ",".join(_DAYS[int(first) : end + 1 : int(step or 1)]) or days


def keep_to(trigger: BaseTrigger, engine: Engine, job: Job, stop: StopSignal) -> NoReturn:
    """Do the job at each date, until a signal comes; first of all, where a run was interrupted or a date was missed.

    Dates that pass while a run goes on are let go.

    Args:
        trigger: of `crontab`.
        engine: of the database, which is waited for where it is away.
        job: what is done.
        stop: where the signal comes.

    Raises:
        Interrupted: by the signal, after the run that was going on has ended at a checkpoint.
        UnusableDatabase: the database refuses us, or lacks the tables.
    """
    due = _first_date(trigger, engine, job)
    while True:
        _wait_for(due, stop)
        _wait_for_database(engine, job)
        run_once(job.command, stop)
        _wait_for_database(engine, job)
        due = _next(trigger, max(datetime.now(UTC), due + timedelta(seconds=1)))


def _first_date(trigger: BaseTrigger, engine: Engine, job: Job) -> datetime:
    _wait_for_database(engine, job)
    latest = select(training_runs.c.state, training_runs.c.started_at).order_by(training_runs.c.id.desc()).limit(1)
    with database_problems(), engine.connect() as connection:
        last = connection.execute(latest).one_or_none()
    now = datetime.now(UTC)
    if last and last.state == "interrupted":
        log.info("a run was interrupted, and is taken up again")
        return now
    if last and (missed := _next(trigger, last.started_at)) <= now:
        log.info("a run was missed, and is caught up with", date=missed.isoformat(" "))
        return now
    return _next(trigger, now)


def _next(trigger: BaseTrigger, moment: datetime) -> datetime:
    date: datetime = trigger.get_next_fire_time(None, moment)
    return date


def _wait_for(date: datetime, stop: StopSignal) -> None:
    log.info("the next run", date=date.isoformat(" "))
    # Python drops what a signal's handler raises while an object is finalized: then the signal is heeded here.
    stop.check()
    while (left := (date - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, _LOOK_AT_THE_CLOCK_S))
        stop.check()


def _wait_for_database(engine: Engine, job: Job) -> None:
    """Return when the database answers; what died here meanwhile is called failed."""
    for attempt in stamina.retry_context(DatabaseAway, attempts=None, timeout=None, wait_max=_LONGEST_WAIT_S):
        with attempt:
            sweep(engine, job.work)


def run_once(command: Sequence[str], stop: StopSignal) -> None:
    """Start a command, wait for its end, and say how it was, where it says nothing itself.

    Raises:
        Interrupted: by the signal, which the command gets too, after its end.
    """
    process = None
    try:
        # A signal waits until it is known what there is to end.
        with stop.held():
            process = subprocess.Popen(command)  # noqa: S603 - our own command.
        code = process.wait()
    except Interrupted:
        if process:
            process.terminate()
            log.info("a run's process ended", exit_code=process.wait())
        raise
    log.info("a run's process ended", exit_code=code)
    if code:
        log.error("a run failed; the next date stands", exit_code=code)

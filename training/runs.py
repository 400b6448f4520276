"""One run of the retraining job at a time: a row of `training_runs`, a lock in Postgres, a folder for its work."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import stamina
import structlog
from sqlalchemy import Connection, Engine, func, insert, select, update

from registry.errors import UnknownProtocol, UnusableLocation
from schemas.tables import training_runs
from training.database import DatabaseAway, UnusableDatabase, database_problems
from training.errors import TrainingError, first_line
from training.locks import Lock
from training.run_folders import folder_of, mark, marked, only_folder, unmark
from training.stopping import Interrupted

log = structlog.get_logger(__name__)

LOCK: Final = 0x656D6F74696F6E
"""Key of the advisory lock that a run holds: any number that nothing else in the database uses."""
patiently: Final = stamina.RetryingCaller(attempts=None, timeout=300, wait_max=5)
"""Calls again what an outage of Postgres ended, for as long as a restart or a failover takes; times in seconds."""

_COLUMNS: Final = training_runs.c
_UNFINISHED: Final = _COLUMNS.state.in_(("running", "interrupted"))

Ending = Literal["promoted", "rejected", "skipped"]


class AnotherRun(TrainingError):
    """Another process is retraining on this database."""


class LostRun(TrainingError):
    """The run's lock went to another process, which has called this run failed."""


class Run:
    """A run that nothing else runs beside; see `alone`.

    Attributes:
        id: of its row in `training_runs`.
        folder: for its work; it exists.
        resumed: whether it was interrupted, and goes on from what is in the folder.
        noted: all that it noted, before it was interrupted too.
        over: whether it said how it ended.
    """

    def __init__(self, engine: Engine, lock: Lock, number: int, folder: Path, noted: dict[str, Any] | None) -> None:
        self.id = number
        self.folder = folder
        self.resumed = noted is not None
        self.noted = noted or {}
        self.over = False
        self._engine = engine
        self._lock = lock

    def note(self, **details: Any) -> None:
        """Merge numbers and verdicts, as JSON has them, into the row's details; an outage of Postgres is waited out.

        Raises:
            LostRun: another process has, or had, the lock.
            DatabaseAway: Postgres stays away.
            UnusableDatabase: see `training.database`.
        """
        patiently(DatabaseAway, self._set, details=_COLUMNS.details.op("||")(details))
        self.noted |= details

    def finish(self, state: Ending, reason: str, model_version: str | None = None) -> None:
        """Say how the run ended.

        Raises:
            As `note`.
        """
        patiently(DatabaseAway, self._set, model_version=model_version, **_finished(state, reason))
        self.over = True
        log.info("a run is over", run=self.id, state=state, reason=reason, model_version=model_version)

    def finish_within(
        self, connection: Connection, state: Ending, reason: str, model_version: str, **details: Any
    ) -> None:
        """Say how the run ended, in the transaction that does what follows from it.

        A lock that was lost with its connection is taken anew. Where another process had it meanwhile, the row tells;
        from here to the transaction's end none can call this run failed.

        Raises:
            LostRun: as `note`; the transaction must not be committed.
        """
        noted = _COLUMNS.details.op("||")(details)
        self._write(connection, details=noted, model_version=model_version, **_finished(state, reason))
        self.over = True

    def begin_anew(self, reason: str) -> None:
        """Fail, and be another run: with a row of its own, an empty folder and nothing noted.

        Raises:
            UnusableOutput: there can be no such folder.
            As `note`.
        """
        number, folder = patiently(DatabaseAway, self._fail_and_begin, reason)
        log.warning("a run is over, and another begins", run=self.id, state="failed", reason=reason, new_run=number)
        self.id, self.folder, self.resumed, self.noted = number, folder, False, {}

    def _fail_and_begin(self, reason: str) -> tuple[int, Path]:
        with database_problems(), self._engine.begin() as connection:
            self._write(connection, **_finished("failed", reason))
            # The lock is ours, so a later one is what this made before, where the answer was lost.
            lost = update(training_runs).where(_COLUMNS.id > self.id, _COLUMNS.state == "running")
            connection.execute(lost.values(**_finished("failed", "it was begun twice")))
            return _new(connection, self.folder.parent)

    def _set(self, **columns: Any) -> None:
        with database_problems(), self._engine.begin() as connection:
            self._write(connection, **columns)

    def _write(self, connection: Connection, **columns: Any) -> None:
        has_lock = self._lock.held() or self._lock.take()
        if not (has_lock and _change(connection, self.id, **columns)):
            raise LostRun(
                f"run {self.id} lost its lock to another process, and changes nothing any more. Start it again"
            )


@contextmanager
def alone(engine: Engine, work: Path) -> Iterator[Run]:
    """Begin a run, or go on with the one that was interrupted on this machine; end it with the block.

    The next `alone` takes it up where it ends with `Interrupted`, or since Postgres or the bundles' store is away. With
    another error, or without `Run.finish`, it has failed, and its folder goes with it.

    Args:
        engine: of the database.
        work: where the runs of this database, and of no other, have their folders.

    Raises:
        AnotherRun: another process holds the lock.
        UnusableDatabase: see `training.database`.
        UnusableOutput: there can be no folder in `work`.
    """
    with closing(Lock(engine, LOCK)) as lock:
        with database_problems():
            if not lock.take():
                raise AnotherRun("another process is retraining on this database: wait for its end; `runs list` tells")
            run = _begin(engine, lock, work)
        try:
            yield run
        except (Interrupted, DatabaseAway, UnusableLocation) as error:
            _end(run, engine, "failed" if isinstance(error, UnknownProtocol) else "interrupted", str(error))
            raise
        except BaseException as error:
            _end(run, engine, "failed", first_line(error) if isinstance(error, Exception) else type(error).__name__)
            raise
        if run.over:
            shutil.rmtree(run.folder, ignore_errors=True)
        else:
            _end(run, engine, "failed", "it came to no verdict")


def sweep(engine: Engine, work: Path) -> None:
    """Call those runs failed whose process ended without a word, and remove their folders; `alone` does it too.

    A run whose folder is not in `work` is let be: it may go on elsewhere, and its lock have gone with its connection.

    Raises:
        UnusableDatabase: see `training.database`.
    """
    dead = []
    with closing(Lock(engine, LOCK)) as lock, database_problems():
        with engine.begin() as connection:
            # Nobody is to find the lock taken for nothing; and once it is ours, no run begins or ends any more.
            if _running_in(work, connection) and lock.take():
                for number, folder in _running_in(work, connection):
                    if (reason := marked(folder)) is not None:
                        _change(connection, number, state="interrupted", reason=reason)
                    else:
                        _change(connection, number, **_finished("failed", _why("running", folder)))
                        dead.append(folder)
        # Only after the commit: by its folder such a run is found.
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)


def _running_in(work: Path, connection: Connection) -> list[tuple[int, Path]]:
    running = connection.execute(select(_COLUMNS.id).where(_COLUMNS.state == "running")).scalars()
    return [(number, folder) for number in running if (folder := folder_of(work, number)).is_dir()]


def _begin(engine: Engine, lock: Lock, work: Path) -> Run:
    """Make the row and the folder, or find those of an interrupted run; clear up after runs that will not go on."""
    with engine.begin() as connection:
        columns = _COLUMNS.id, _COLUMNS.state, _COLUMNS.details
        unfinished = connection.execute(select(*columns).where(_UNFINISHED).order_by(_COLUMNS.id.desc())).all()
        resumed = next((row for row in unfinished if _goes_on(row.state, folder_of(work, row.id))), None)
        for row in unfinished:
            if row is not resumed:
                _change(connection, row.id, **_finished("failed", _why(row.state, folder_of(work, row.id))))
        if resumed:
            _change(connection, resumed.id, state="running", reason=None)
            number, folder = resumed.id, only_folder(work, resumed.id)
        else:
            number, folder = _new(connection, work)
    # Only after the commit: by its mark such a run is found.
    unmark(folder)
    log.info("a run goes on" if resumed else "a run begins", run=number, folder=str(folder))
    return Run(engine, lock, number, folder, resumed.details if resumed else None)


def _new(connection: Connection, work: Path) -> tuple[int, Path]:
    number: int = connection.execute(insert(training_runs).values(state="running").returning(_COLUMNS.id)).scalar_one()
    # Within the transaction: without a folder there is no run.
    return number, only_folder(work, number)


def _goes_on(state: str, folder: Path) -> bool:
    return folder.is_dir() and (state == "interrupted" or marked(folder) is not None)


def _why(state: str, folder: Path) -> str:
    if state == "running":
        return "its process ended without a word"
    return f"it was interrupted on another machine, or with another folder for work: there is no {folder}"


def _end(run: Run, engine: Engine, state: Literal["interrupted", "failed"], reason: str) -> None:
    """Say how a run ended that did not finish; if Postgres is away, the next run says it."""
    columns = {"state": state, "reason": reason} if state == "interrupted" else _finished(state, reason)
    try:
        with database_problems(), engine.begin() as connection:
            changed = _change(connection, run.id, **columns)
    except UnusableDatabase as error:
        log.warning("how a run ended could not be stored", run=run.id, state=state, reason=reason, problem=str(error))
        # By its folder the run is found, and without a mark called failed.
        if state == "interrupted":
            mark(run.folder, reason)
        return
    if changed:
        log.warning("a run is over", run=run.id, state=state, reason=reason)
    if not (changed and state == "interrupted"):
        shutil.rmtree(run.folder, ignore_errors=True)


def _finished(state: str, reason: str) -> dict[str, Any]:
    return {"state": state, "reason": reason, "finished_at": func.clock_timestamp()}


def _change(connection: Connection, number: int, **columns: Any) -> bool:
    """Change the row of a run that has not ended, or just so, where an answer was lost; return whether it is such."""
    live = _UNFINISHED | (_COLUMNS.state == columns.get("state"))
    changed = connection.execute(update(training_runs).where(_COLUMNS.id == number, live).values(**columns))
    return changed.rowcount == 1

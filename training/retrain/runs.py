"""One run of the retraining job at a time: a row of `training_runs`, a lock in Postgres, a folder for its work."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import stamina
import structlog
from sqlalchemy import Connection, Engine, func, insert, select, update

from registry.errors import ConfigurationError, UnknownProtocol, UnusableLocation
from registry.postgres import DatabaseAway, database_problems
from schemas.tables import training_runs
from training.database import identity
from training.errors import AnotherRun, LostRun, first_line
from training.retrain.locks import Lock
from training.retrain.run_folders import RunFolders, clear_mark, interruption_reason, mark
from training.signals import Interrupted, StopSignal

log = structlog.get_logger(__name__)

LOCK: Final = 0x656D6F74696F6E
"""Key of the advisory lock that a run holds: any number that nothing else in the database uses."""
_COLUMNS: Final = training_runs.c
_UNFINISHED: Final = _COLUMNS.state.in_(("running", "interrupted"))

Ending = Literal["promoted", "rejected", "skipped"]

T = TypeVar("T")


def retry_while_away(
    stop: StopSignal, call: Callable[[], T], *, timeout_s: float | None = 300, longest_wait_s: float = 5
) -> T:
    """Call, and call again while Postgres is away, until a signal comes.

    Args:
        stop: Where the signal comes; it interrupts no call, only the waits between two calls.
        call: Asks or tells the database something.
        timeout_s: Longest outage that is waited out, in seconds: by default a restart or a failover. None waits for
            ever.
        longest_wait_s: Longest wait between two calls, in seconds.

    Returns:
        What the call returns.

    Raises:
        DatabaseAway: Postgres stays away, or is away when a signal comes.
        Interrupted: A signal came.
    """

    def waits(error: Exception) -> bool:
        return isinstance(error, DatabaseAway) and not stop.is_set()

    def call_to_its_end() -> T:
        with stop.held():
            return call()

    return stamina.RetryingCaller(attempts=None, timeout=timeout_s, wait_max=longest_wait_s)(waits, call_to_its_end)


class Run:
    """A run that keeps other runs out; see `alone`.

    Attributes:
        id: of its row in `training_runs`.
        folder: for its work; it exists.
        folders: where it and the other runs of its database have theirs.
        resumed: whether it was interrupted, and goes on from what is in the folder.
        noted: all that it noted, before it was interrupted too.
        over: whether it said how it ended.
    """

    def __init__(  # noqa: PLR0913 - all that a run stands on; only `alone` makes one.
        self,
        engine: Engine,
        lock: Lock,
        stop: StopSignal,
        *,
        number: int,
        folders: RunFolders,
        noted: dict[str, Any] | None,
    ) -> None:
        self.id = number
        self.folder = folders.of(number)
        self.folders = folders
        self.resumed = noted is not None
        self.noted = noted or {}
        self.over = False
        self._engine = engine
        self._lock = lock
        self._stop = stop

    def note(self, **details: Any) -> None:
        """Merge numbers and verdicts, as JSON has them, into the row's details; an outage of Postgres is waited out.

        Raises:
            LostRun: another process has, or had, the lock.
            DatabaseAway: Postgres stays away.
            ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
        """
        self._set(details=_COLUMNS.details.op("||")(details))
        self.noted |= details

    def finish(self, state: Ending, reason: str, model_version: str | None = None) -> None:
        """Say how the run ended.

        Raises:
            As `note`.
        """
        self._set(model_version=model_version, **_finished(state, reason))
        self.over = True
        log.info("a run is over", run=self.id, state=state, reason=reason, model_version=model_version)

    def finish_within(
        self, connection: Connection, state: Ending, reason: str, model_version: str, **details: Any
    ) -> None:
        """Say how the run ended, in the transaction that does what follows from it.

        A lock that was lost with its connection is taken again. Where another process had it meanwhile, the row tells;
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
        number, folder = retry_while_away(self._stop, partial(self._fail_and_begin, reason))
        log.warning("a run is over, and another begins", run=self.id, state="failed", reason=reason, new_run=number)
        self.id, self.folder, self.resumed, self.noted = number, folder, False, {}

    def _fail_and_begin(self, reason: str) -> tuple[int, Path]:
        with database_problems(), self._engine.begin() as connection:
            self._write(connection, **_finished("failed", reason))
            # The lock is ours, so a later one is what this made before, where the answer was lost.
            lost = update(training_runs).where(_COLUMNS.id > self.id, _COLUMNS.state == "running")
            connection.execute(lost.values(**_finished("failed", "it was begun twice")))
            return _new(connection, self.folders)

    def _set(self, **columns: Any) -> None:
        def write() -> None:
            with database_problems(), self._engine.begin() as connection:
                self._write(connection, **columns)

        retry_while_away(self._stop, write)

    def _write(self, connection: Connection, **columns: Any) -> None:
        has_lock = self._lock.held() or self._lock.take()
        if not (has_lock and _change(connection, self.id, **columns)):
            raise LostRun(
                f"run {self.id} lost its lock to another process, and changes nothing any more. Start it again"
            )


@contextmanager
def exclusive_run(engine: Engine, work: Path, stop: StopSignal | None = None) -> Iterator[Run]:
    """Begin a run, or go on with the one that was interrupted on this machine; end it with the block.

    The next `alone` takes it up where it ends with `Interrupted`, or since Postgres or the bundles' store is away. With
    another error, or without `Run.finish`, it has failed, and its folder goes with it.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        work: where the runs have their folders; other databases may have theirs there too.
        stop: Where a signal comes; it interrupts the block, and neither how a run begins nor how it ends.

    Raises:
        AnotherRun: another process holds the lock.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
        UnusableOutput: there can be no folder in `work`.
    """
    stop = stop or StopSignal()
    with stop.held(), closing(Lock(engine, LOCK)) as lock:
        with database_problems():
            if not lock.take():
                raise AnotherRun("another process is retraining on this database: wait for its end; `runs list` tells")
            run = _begin(engine, lock, work, stop)
        try:
            with stop.released():
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
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    dead = []
    with closing(Lock(engine, LOCK)) as lock, database_problems():
        with engine.begin() as connection:
            # Nobody is to find the lock taken for nothing; and once it is ours, no run begins or ends any more.
            folders = RunFolders(work, identity(connection))
            if _running_in(folders, connection) and lock.take():
                for number, folder in _running_in(folders, connection):
                    if (reason := interruption_reason(folder)) is not None:
                        _change(connection, number, state="interrupted", reason=reason)
                    else:
                        _change(connection, number, **_finished("failed", _why("running", folder)))
                        dead.append(folder)
        # Only after the commit: by its folder such a run is found.
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)


def _running_in(folders: RunFolders, connection: Connection) -> list[tuple[int, Path]]:
    running = connection.execute(select(_COLUMNS.id).where(_COLUMNS.state == "running")).scalars()
    return [(number, folder) for number in running if (folder := folders.there(number))]


def _begin(engine: Engine, lock: Lock, work: Path, stop: StopSignal) -> Run:
    """Make the row and the folder, or find those of an interrupted run; clear up after runs that will not go on."""
    with engine.begin() as connection:
        folders = RunFolders(work, identity(connection))
        columns = _COLUMNS.id, _COLUMNS.state, _COLUMNS.details
        unfinished = connection.execute(select(*columns).where(_UNFINISHED).order_by(_COLUMNS.id.desc())).all()
        resumed = next((row for row in unfinished if _goes_on(row.state, folders.there(row.id))), None)
        for row in unfinished:
            if row is not resumed:
                _change(connection, row.id, **_finished("failed", _why(row.state, folders.of(row.id))))
        if resumed:
            _change(connection, resumed.id, state="running", reason=None)
            number, folder = resumed.id, folders.only(resumed.id)
        else:
            number, folder = _new(connection, folders)
    # Only after the commit: by its mark such a run is found.
    clear_mark(folder)
    log.info("a run goes on" if resumed else "a run begins", run=number, folder=str(folder))
    noted = resumed.details if resumed else None
    return Run(engine, lock, stop, number=number, folders=folders, noted=noted)


def _new(connection: Connection, folders: RunFolders) -> tuple[int, Path]:
    number: int = connection.execute(insert(training_runs).values(state="running").returning(_COLUMNS.id)).scalar_one()
    # Within the transaction: without a folder there is no run.
    return number, folders.only(number)


def _goes_on(state: str, folder: Path | None) -> bool:
    return folder is not None and (state == "interrupted" or interruption_reason(folder) is not None)


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
    except (ConfigurationError, DatabaseAway) as error:
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

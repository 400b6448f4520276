"""One run of the retraining job at a time: a row of `training_runs`, a lock in Postgres, a folder for its work."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from sqlalchemy import Connection, Engine, func, insert, select, update

from schemas.tables import training_runs
from training.database import UnusableDatabase, database_problems
from training.errors import TrainingError, UnusableOutput, first_line
from training.locks import Lock
from training.stopping import Interrupted

log = structlog.get_logger(__name__)

LOCK: Final = 0x656D6F74696F6E
"""Key of the advisory lock that a run holds: any number that nothing else in the database uses."""

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
    """

    def __init__(self, engine: Engine, lock: Lock, number: int, folder: Path, *, resumed: bool) -> None:
        self.id = number
        self.folder = folder
        self.resumed = resumed
        self._engine = engine
        self._lock = lock

    def check(self) -> None:
        """Make sure that the run may still change anything: to be called before a promotion.

        A lock that was lost with its connection is taken anew. Where another process had it meanwhile, the row tells.

        Raises:
            LostRun: another process has, or had, the lock.
            UnusableDatabase: see `training.database`.
        """
        with database_problems():
            self._require_lock()
            with self._engine.connect() as connection:
                if connection.scalar(select(_COLUMNS.state).where(_COLUMNS.id == self.id)) != "running":
                    raise LostRun(self._lost)

    def note(self, **details: Any) -> None:
        """Merge numbers and verdicts, as JSON has them, into the row's details.

        Raises:
            LostRun: see `check`.
            UnusableDatabase: see `training.database`.
        """
        self._set(details=_COLUMNS.details.op("||")(details))

    def finish(self, state: Ending, reason: str, model_version: str | None = None) -> None:
        """Say how the run ended.

        Raises:
            LostRun: see `check`.
            UnusableDatabase: see `training.database`.
        """
        self._set(state=state, reason=reason, model_version=model_version, finished_at=func.clock_timestamp())
        log.info("a run is over", run=self.id, state=state, reason=reason, model_version=model_version)

    def _set(self, **columns: Any) -> None:
        with database_problems():
            self._require_lock()
            with self._engine.begin() as connection:
                if not _change(connection, self.id, **columns):
                    raise LostRun(self._lost)

    def _require_lock(self) -> None:
        if not (self._lock.held() or self._lock.take()):
            raise LostRun(self._lost)

    @property
    def _lost(self) -> str:
        return f"run {self.id} lost its lock to another process, and changes nothing any more. Start it again"


@contextmanager
def alone(engine: Engine, work: Path) -> Iterator[Run]:
    """Begin a run, or go on with the one that was interrupted on this machine; end it with the block.

    Where the block ends with `Interrupted`, the run can be taken up again by the next `alone`. Where it ends with
    another error, or without `Run.finish`, the run has failed. Its folder goes with it, unless it was interrupted.

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
        except Interrupted as error:
            _end(run, engine, "interrupted", str(error))
            raise
        except BaseException as error:
            _end(run, engine, "failed", first_line(error) if isinstance(error, Exception) else type(error).__name__)
            raise
        _end(run, engine, "failed", "it came to no verdict")


def sweep(engine: Engine, work: Path) -> None:
    """Call those runs failed whose process ended without a word, and remove their folders; `alone` does it too.

    Raises:
        UnusableDatabase: see `training.database`.
    """
    with closing(Lock(engine, LOCK)) as lock, database_problems():
        if lock.take():
            with engine.begin() as connection:
                dead = select(_COLUMNS.id).where(_COLUMNS.state == "running")
                for number in connection.execute(dead).scalars().all():
                    _change(connection, number, **_failed(_why("running", work)))
                    shutil.rmtree(_folder(work, number), ignore_errors=True)


def _begin(engine: Engine, lock: Lock, work: Path) -> Run:
    """Make the row and the folder, or find those of an interrupted run; clear up after runs that will not go on."""
    with engine.begin() as connection:
        unfinished = connection.execute(
            select(_COLUMNS.id, _COLUMNS.state).where(_UNFINISHED).order_by(_COLUMNS.id.desc())
        ).all()
        kept = [row.id for row in unfinished if row.state == "interrupted" and _folder(work, row.id).is_dir()]
        resumed = kept[0] if kept else None
        for row in unfinished:
            if row.id != resumed:
                _change(connection, row.id, **_failed(_why(row.state, _folder(work, row.id))))
        if resumed:
            _change(connection, resumed, state="running", reason=None)
        new = insert(training_runs).values(state="running").returning(_COLUMNS.id)
        number = resumed or connection.execute(new).scalar_one()
        # Within the transaction: without a folder there is no run.
        folder = _only_folder(work, number)
    log.info("a run goes on" if resumed else "a run begins", run=number, folder=str(folder))
    return Run(engine, lock, number, folder, resumed=bool(resumed))


def _why(state: str, folder: Path) -> str:
    if state == "running":
        return "its process ended without a word"
    return f"it was interrupted on another machine, or with another folder for work: there is no {folder}"


def _folder(work: Path, number: int) -> Path:
    return work.resolve() / f"run-{number}"


def _only_folder(work: Path, number: int) -> Path:
    """Return the folder of a run, after removing what earlier runs left behind."""
    folder = _folder(work, number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.glob("run-*"):
            if other != folder:
                shutil.rmtree(other)
    except OSError as error:
        raise UnusableOutput(f"{work} cannot hold the work of a run: {first_line(error)}") from error
    return folder


def _end(run: Run, engine: Engine, state: Literal["interrupted", "failed"], reason: str) -> None:
    """Say how a run ended that did not finish; if Postgres is away, the next run says it."""
    columns = {"state": state, "reason": reason} if state == "interrupted" else _failed(reason)
    try:
        with database_problems(), engine.begin() as connection:
            changed = _change(connection, run.id, **columns)
    except UnusableDatabase as error:
        log.warning("how a run ended could not be stored", run=run.id, state=state, reason=reason, problem=str(error))
        changed = True
    if changed:
        log.warning("a run is over", run=run.id, state=state, reason=reason)
    if not (changed and state == "interrupted"):
        shutil.rmtree(run.folder, ignore_errors=True)


def _failed(reason: str) -> dict[str, Any]:
    return {"state": "failed", "reason": reason, "finished_at": func.clock_timestamp()}


def _change(connection: Connection, number: int, **columns: Any) -> bool:
    """Change the row of a run that has not ended; return whether it had not."""
    changed = connection.execute(update(training_runs).where(_COLUMNS.id == number, _UNFINISHED).values(**columns))
    return changed.rowcount == 1

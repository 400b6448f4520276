"""`emotion-training retrain`, top to bottom: from the labels that have come in to a better champion, or to none.

The champion is replaced only where the gate is sure; whatever else happens leaves the registry and the disk as they
were, with the reason in `training_runs`.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import ColumnElement, Engine, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from registry.errors import RegistryError
from registry.locations import delete, download, manifest_at
from registry.released import released_model
from registry.versions import ModelVersion
from schemas.bundle import MANIFEST
from schemas.tables import training_runs
from training.database import database_problems
from training.datasets import load
from training.errors import TrainingError
from training.examples import Examples
from training.fitting import fit_bundle
from training.gate import Verdict
from training.labels.table import latest
from training.recipes import write_recipe
from training.registry import champion, promote, register, reject, versions
from training.report import evaluate
from training.retrain_settings import RetrainSettings
from training.runs import Ending, Run, alone
from training.settings import FitSettings
from training.snapshot import Snapshot, take
from training.stopping import StopSignal
from training.trial import russian, served, try_out

log = structlog.get_logger(__name__)

SNAPSHOT: Final = "snapshot"
"""Folder of the labels within a run's folder, and after the run within the folder for work."""

RECIPE: Final = "recipe.yaml"
"""Beside a snapshot: `emotion-training fit --recipe` it repeats the fit."""

_OF_THIS_MACHINE: Final = {"store", "work"}

_DETAILS: Final = training_runs.c.details


class Outcome(NamedTuple):
    """How a run ended; version is the candidate's, None where there was none."""

    run: int
    state: str
    reason: str
    version: str | None = None

    def line(self) -> str:
        """Return it for people to read."""
        of = f" {self.version}" if self.version else ""
        return f"run {self.run}: {self.state}{of}: {self.reason}"


def retrain(settings: RetrainSettings, engine: Engine, stop: StopSignal, *, force: bool = False) -> Outcome:
    """Retrain, if there are labels enough, and promote the candidate, if it is better.

    Args:
        settings: of the run.
        engine: of the database.
        stop: where a signal interrupts the run; it goes on when it is started again.
        force: whatever the number of new labels.

    Raises:
        AnotherRun: another process is retraining.
        Interrupted: by a signal.
        RegistryError: a bundle cannot be had, or not be stored.
        TrainingError: labels, settings or database cannot be used.
    """
    with alone(engine, settings.work) as run:
        return _Retraining(settings, engine, stop, run).outcome(force=force or run.resumed)


class _Retraining:
    """The steps of one run."""

    def __init__(self, settings: RetrainSettings, engine: Engine, stop: StopSignal, run: Run) -> None:
        self._settings = settings
        self._engine = engine
        self._stop = stop
        self._run = run
        self._seconds: dict[str, float] = {}

    def outcome(self, *, force: bool) -> Outcome:
        settings, run = self._settings, self._run
        old = self._champion()
        made_by = _latest(self._engine, _DETAILS, training_runs.c.model_version == old.version)
        since = datetime.fromisoformat(made_by["snapshot"]["taken_at"]) if made_by else old.created_at
        new = _labels_since(self._engine, since)
        run.note(
            settings=settings.model_dump(mode="json", exclude=_OF_THIS_MACHINE),
            champion={"version": old.version, "labels_since": since.isoformat()},
            new_labels=new,
        )
        if not force and new < settings.min_labels:
            return self._skip(f"{new} labels are new since {old.version}, and {settings.min_labels} make a retraining")
        public = russian(load(settings.public, "validation"))
        # What it learnt before its labels had sides; rows of these sources would flatter it, and all that come of it.
        learnt_whole = made_by["learnt_whole"] if made_by else sorted(old.metrics.get("rows", {}))
        run.note(learnt_whole=learnt_whole if settings.start == "champion" else [])
        with self._step("snapshot"):
            snapshot = take(self._engine, run.folder / SNAPSHOT, judges=self._judges(learnt_whole), public=public)
        run.note(snapshot=snapshot.account())
        if not force and (before := self._rejected_before(old, snapshot)):
            return self._skip(f"nothing is new since run {before}, which rejected what came of the same labels")
        return self._candidate(old, snapshot, public)

    def _candidate(self, old: ModelVersion, snapshot: Snapshot, public: list[Examples]) -> Outcome:
        """Fit a candidate, judge it, and promote or reject it."""
        settings, run = self._settings, self._run
        with self._step("download"):
            champion_folder = download(old.location, run.folder / "champion")
        candidate = run.folder / settings.name
        fit = settings.to_fit(snapshot.data, champion_folder, old.base_model, candidate)
        if not (candidate / MANIFEST).is_file():
            with self._step("fit"):
                fit_bundle(fit, self._stop)
        holdout = snapshot.judges()
        with self._step("judge"):
            limits = settings.gate.limits()
            verdict = try_out(champion_folder, candidate, holdout, public, limits=limits, seed=settings.seed)
        run.note(verdict=verdict.as_json())
        with self._step("report"):
            evaluate(served(candidate), [holdout], candidate, verdict=verdict.lines())
        with self._stop.held():
            _keep(snapshot, fit, settings.work / SNAPSHOT, old.location)
            return self._decide(old, candidate, verdict)

    def _decide(self, old: ModelVersion, candidate: Path, verdict: Verdict) -> Outcome:
        """Put the candidate into the registry, and on its throne where it belongs there."""
        self._run.check()
        with self._step("store"):
            version = self._stored(candidate)
        present = champion(self._engine)
        promoted, reason = verdict.promoted, verdict.reason
        if promoted and (present is None or present.version != old.version):
            promoted, reason = False, f"{old.version}, which it was judged against, is no longer the champion"
        if promoted:
            promote(self._engine, version)
        else:
            reject(self._engine, version, reason)
        return self._end("promoted" if promoted else "rejected", reason, version)

    def _champion(self) -> ModelVersion:
        """Return the champion; where there is none, the bundle that is served for want of one becomes it."""
        there = champion(self._engine)
        if there:
            return there
        folder = self._settings.champion or released_model()
        version = manifest_at(str(folder)).version
        if version not in {row.version for row in versions(self._engine)}:
            register(self._engine, folder, self._settings.bundles)
        promote(self._engine, version)
        log.info("there was no champion; the bundle that stood for one is it now", version=version)
        return self._champion()

    def _judges(self, learnt_whole: Collection[str]) -> Callable[[str], bool]:
        """Say of a source whether its rows may judge: none that a model has learnt, nor that mean something else."""
        weight = self._settings.learning.weight
        return lambda source: source not in learnt_whole and weight(source) > 0

    def _skip(self, reason: str) -> Outcome:
        return self._end("skipped", f"{reason}; --force retrains all the same")

    def _end(self, state: Ending, reason: str, version: str | None = None) -> Outcome:
        self._run.finish(state, reason, version)
        return Outcome(self._run.id, state, reason, version)

    def _rejected_before(self, old: ModelVersion, snapshot: Snapshot) -> int | None:
        """Return the latest run that rejected what came of the same labels, settings and champion."""
        settings = self._settings.model_dump(mode="json", exclude=_OF_THIS_MACHINE)
        run: int | None = _latest(
            self._engine,
            training_runs.c.id,
            training_runs.c.state == "rejected",
            _DETAILS["settings"] == literal(settings, JSONB),
            _DETAILS.contains(
                {"champion": {"version": old.version}, "snapshot": {"fingerprint": snapshot.fingerprint}}
            ),
        )
        return run

    def _stored(self, candidate: Path) -> str:
        """Register the candidate; where that fails, nothing of it stays in the store."""
        version = manifest_at(str(candidate)).version
        try:
            return register(self._engine, candidate, self._settings.bundles)
        except BaseException:
            with suppress(RegistryError, TrainingError):
                if version not in {row.version for row in versions(self._engine)}:
                    delete(f"{self._settings.bundles.rstrip('/')}/{version}", version)
            raise

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Time a step, and note it."""
        start = time.perf_counter()
        yield
        self._seconds[name] = round(time.perf_counter() - start, 1)
        self._run.note(seconds=self._seconds)
        log.info("a step is done", step=name, seconds=self._seconds[name])


def _labels_since(engine: Engine, moment: datetime) -> int:
    rows = latest().subquery()
    query = select(func.count()).select_from(rows).where(rows.c.labelled_at > moment)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).scalar_one()


def _latest(engine: Engine, column: ColumnElement[Any], *of: ColumnElement[bool]) -> Any:
    query = select(column).where(*of).order_by(training_runs.c.id.desc()).limit(1)
    with database_problems(), engine.connect() as connection:
        return connection.execute(query).scalar_one_or_none()


def _keep(snapshot: Snapshot, fit: FitSettings, folder: Path, champion_at: str) -> None:
    """Leave the snapshot behind, in the place of the last one, with the recipe that repeats the fit."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(snapshot.folder, folder)
    moved = snapshot._replace(folder=folder)
    base = champion_at if fit.warm_start else fit.base
    write_recipe(fit.model_copy(update={"data": moved.data, "base": base}), folder / RECIPE)

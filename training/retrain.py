"""`emotion-training retrain`, top to bottom: from the labels that have come in to a better champion, or to none.

The champion is replaced only where the gate is sure; whatever else happens leaves the registry and the disk as they
were, with the reason in `training_runs`.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from registry.errors import RegistryError
from registry.locations import require_writable
from registry.released import released_model
from registry.versions import PRUNED, ModelVersion, fetch
from schemas.bundle import MANIFEST
from training.datasets import load
from training.decision import Candidate, Outcome, decide, note_bundle, sweep_bundles
from training.errors import UnusableModel
from training.examples import Examples, fingerprint
from training.fitting import fit_bundle
from training.gate import Verdict
from training.history import judged_before, labels_since, last_judged, learnt
from training.onnx_files import export_alike
from training.placing import described, place
from training.recipes import write_recipe
from training.registry import UnusableVersion, champion, require_in_place, versions
from training.report import evaluate
from training.retrain_settings import RetrainSettings
from training.runs import Run, alone
from training.served import open_served
from training.settings import FitSettings, Taken
from training.snapshot import Snapshot, take
from training.stopping import StopSignal
from training.trial import russian, try_out

log = structlog.get_logger(__name__)

SNAPSHOT: Final = "snapshot"
"""Folder of the labels within a run's folder, and after the run within the folder for work."""

RECIPE: Final = "recipe.yaml"
"""Beside a snapshot: `emotion-training fit --recipe` it repeats the fit."""

_OF_THIS_MACHINE: Final = {"store", "work"}


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
    try:
        with alone(engine, settings.work) as run:
            return _Retraining(settings, engine, stop, run).outcome(force=force)
    finally:
        sweep_bundles(engine)


class _Retraining:
    """The steps of one run."""

    def __init__(self, settings: RetrainSettings, engine: Engine, stop: StopSignal, run: Run) -> None:
        self._settings = settings
        self._engine = engine
        self._stop = stop
        self._run = run

    def outcome(self, *, force: bool) -> Outcome:
        settings, run, engine = self._settings, self._run, self._engine
        old = champion(engine) or described(settings.champion or released_model())
        if others := self._others(old):
            run.begin_anew(f"it was interrupted, and {' and '.join(others)} changed before it could go on")
        known = learnt(engine, old)
        since, when = self._since(old, known.until)
        new = labels_since(engine, when)
        run.note(
            settings=self._told,
            champion={"version": old.version, "labels_since": when.isoformat()},
            new_labels=new,
            learnt_whole=known.whole if settings.start == "champion" else [],
        )
        # What goes on from a snapshot was found worth while when that was taken.
        force = force or SNAPSHOT in run.noted
        if not force and new < settings.min_labels:
            return self._skip(f"{new} labels are new since {since}, and {settings.min_labels} make a retraining")
        run.note(public=fingerprint(self._public))
        with self._step("snapshot"):
            judges = self._judges(known.whole)
            snapshot = take(engine, run.folder / SNAPSHOT, judges=judges, learnt=known.whole, public=self._public)
        if not force and (before := judged_before(engine, old.version, snapshot.fingerprint, self._told)):
            how = f"which {before.state} {before.model_version}, made of the same labels"
            return self._skip(f"nothing is new since run {before.run}, {how}")
        run.note(snapshot=snapshot.account())
        taken = Taken(at=datetime.fromisoformat(snapshot.taken_at), learnt_whole=run.noted["learnt_whole"])
        return self._candidate(old, snapshot, taken)

    def _candidate(self, old: ModelVersion, snapshot: Snapshot, taken: Taken) -> Outcome:
        """Fit a candidate, judge it, and promote or reject it."""
        settings, run = self._settings, self._run
        # What is fitted for hours must not have nowhere to go.
        require_writable(settings.bundles)
        with self._step("download"):
            champion_folder = fetch(old, run.folder / "champion")
        candidate = run.folder / settings.name
        places = {"champion": champion_folder, "output": candidate}
        fit = settings.to_fit(snapshot.data, taken, base_model=old.base_model, **places)
        if not (candidate / MANIFEST).is_file():
            with self._step("fit"):
                fit_bundle(fit, self._stop)
        export_alike(champion_folder, candidate)
        holdout = snapshot.judges()
        with self._step("judge"):
            limits = settings.gate.limits()
            verdict = try_out(champion_folder, candidate, holdout, self._public, limits=limits, seed=settings.seed)
        run.note(verdict=verdict.as_json())
        with self._step("report"):
            evaluate(open_served(candidate), [holdout], candidate, verdict=verdict.lines())
        with self._step("store"):
            judged = self._stored(old, candidate, verdict)
        with self._stop.held():
            outcome = decide(self._engine, run, judged, self._stop)
            # Only now: a disk that is full must not cost a verdict.
            _keep(snapshot, fit, settings.work / SNAPSHOT, (judged.stand_in or old).location)
        return outcome

    def _stored(self, old: ModelVersion, folder: Path, verdict: Verdict) -> Candidate:
        """Put the candidate's bundle into the store, and before it the one that stood for a champion, if need be."""
        bundles, registered, stand_in = self._settings.bundles, None, None
        if old.state != "champion":
            registered = self._registered(old)
            stand_in = registered or place(Path(old.location), bundles)
        note_bundle(self._run, described(folder, bundles))
        return Candidate(place(folder, bundles), verdict, old.version, stand_in, registered=registered is not None)

    def _registered(self, old: ModelVersion) -> ModelVersion | None:
        """Return what stood for a champion as it is registered, None where its bundle is not to be had there."""
        registered = {row.version: row for row in versions(self._engine)}.get(old.version)
        if registered and registered.location != PRUNED and registered.data_fingerprint == old.data_fingerprint:
            with suppress(RegistryError, UnusableVersion, UnusableModel):
                require_in_place(registered)
                return registered
        return None

    def _others(self, old: ModelVersion) -> list[str]:
        """Name what is not what a run had noted before it was interrupted; its snapshot and its fit came of that."""
        noted = self._run.noted
        champion_then, public_then = noted.get("champion", {}).get("version"), noted.get("public")
        pairs = {
            "its settings": (noted.get("settings"), self._told),
            "the champion": (champion_then, old.version),
            "the public rows": (public_then, public_then and fingerprint(self._public)),
        }
        return [name for name, (then, now) in pairs.items() if then is not None and then != now]

    def _since(self, old: ModelVersion, learnt_until: datetime) -> tuple[str, datetime]:
        """Return since when labels are new: since the champion's, or since those that did not replace it for good."""
        judged = last_judged(self._engine, old.version)
        if judged and judged[1] > learnt_until:
            return f"run {judged[0]} judged what came of them against {old.version}", judged[1]
        return old.version, learnt_until

    @cached_property
    def _told(self) -> dict[str, Any]:
        return self._settings.model_dump(mode="json", exclude=_OF_THIS_MACHINE)

    @cached_property
    def _public(self) -> list[Examples]:
        return russian(load(self._settings.public, "validation"))

    def _judges(self, learnt_whole: Collection[str]) -> Callable[[str], bool]:
        """Say of a source whether its rows may judge: none that a model has learnt, nor that mean something else."""
        weight = self._settings.learning.weight
        return lambda source: source not in learnt_whole and weight(source) > 0

    def _skip(self, reason: str) -> Outcome:
        reason = f"{reason}; --force retrains all the same"
        self._run.finish("skipped", reason)
        return Outcome(self._run.id, "skipped", reason)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Time a step, and note it."""
        start = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - start, 1)
        self._run.note(seconds={**self._run.noted.get("seconds", {}), name: seconds})
        log.info("a step is done", step=name, seconds=seconds)


def _keep(snapshot: Snapshot, fit: FitSettings, folder: Path, champion_at: str) -> None:
    """Leave the snapshot behind, in the place of the last one, with the recipe that repeats the fit."""
    moved = snapshot._replace(folder=folder)
    base = champion_at if fit.warm_start else fit.base
    try:
        write_recipe(fit.model_copy(update={"data": moved.data, "base": base}), snapshot.folder / RECIPE)
        if folder.exists():
            shutil.rmtree(folder)
        snapshot.folder.rename(folder)
    except OSError as error:
        log.warning("the run's snapshot could not be kept", folder=str(folder), problem=str(error))

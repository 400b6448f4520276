"""`emotion-training retrain`, top to bottom: from the labels that have come in to a better champion, or to none.

The champion is replaced only where the gate is sure; any other outcome leaves the registry and the disk as they
were, with the reason in `training_runs`.
"""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from registry.errors import RegistryError
from registry.lifecycle import champion, require_in_place, versions
from registry.locations import require_writable
from registry.publish import publish_bundle
from registry.released import released_model
from registry.versions import PRUNED, ModelVersion, describe_bundle, fetch
from schemas.bundle import MANIFEST
from training.data.datasets import load
from training.data.examples import Examples, fingerprint
from training.errors import UnusableModel, UnusableOutput
from training.evaluate.behaviour import behave, follows_calls
from training.evaluate.error_budget import AGAIN, YEAR, Look, error_of_look, rows_needed
from training.evaluate.predictor import open_served
from training.evaluate.report import evaluate
from training.fit.run import fit_bundle
from training.fit.settings import FitSettings, Taken
from training.labels.forget import forgotten_since
from training.recipes import write_recipe
from training.retrain.candidates import fetch_anchor, judge_candidates, to_tune_to, tuned_champion
from training.retrain.cross_fitting import write_folds
from training.retrain.evaluate_pair import russian
from training.retrain.finish_run import Candidate, Outcome, decide, note_bundle, sweep_bundles
from training.retrain.gate import Verdict
from training.retrain.onnx_files import export_alike
from training.retrain.run_history import (
    Learnt,
    find_verdict,
    labels_new_to,
    labels_since,
    last_judged,
    learnt_labels,
    looks,
)
from training.retrain.runs import Run, exclusive_run
from training.retrain.settings import RetrainSettings
from training.retrain.snapshot import Snapshot, snapshot_moment, take
from training.signals import StopSignal

log = structlog.get_logger(__name__)

SNAPSHOT: Final = "snapshot"
"""Folder of the labels within a run's folder, and after the run within the folder for work."""

RECIPE: Final = "recipe.yaml"
"""Beside a snapshot: `emotion-training fit --recipe` it repeats the fit."""

REPORT: Final = "report"
"""Folder of the report within a run's folder. It quotes what people said, so it never lies in a bundle."""

REPORTS: Final = "reports"
"""Folder within the folder for work: it keeps the report of each run that came to a verdict."""

_OF_THIS_MACHINE: Final = {"store", "work"}


def retrain(settings: RetrainSettings, engine: Engine, stop: StopSignal, *, force: bool = False) -> Outcome:
    """Retrain, if there are labels enough, and promote the candidate, if it is better.

    Args:
        settings: of the run.
        engine: SQLAlchemy engine connected to the results database.
        stop: where a signal interrupts the run; it goes on when it is started again.
        force: train even where there are few new labels.

    Raises:
        AnotherRun: another process is retraining.
        Interrupted: by a signal.
        RegistryError: a bundle cannot be had, or not be stored.
        UserError: labels, settings or database cannot be used.
    """
    try:
        with exclusive_run(engine, settings.work, stop) as run:
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
        old = champion(engine) or describe_bundle(settings.champion or released_model())
        if others := self._others(old):
            run.begin_anew(f"it was interrupted, and {' and '.join(others)} changed before it could go on")
        known = learnt_labels(engine, old)
        judged = last_judged(engine, old.version)
        # Labels that did not replace the champion for good are new no more, whether it has learnt them or not.
        if judged and judged[1] > known.until:
            since, when = f"run {judged[0]} judged what came of them against {old.version}", judged[1]
            new = labels_since(engine, when)
        else:
            since, when, new = old.version, known.until, labels_new_to(engine, known)
        run.note(
            settings=self._told,
            champion={"version": old.version, "labels_since": when.isoformat()},
            new_labels=new,
            learnt_whole=known.whole if settings.start == "champion" else [],
        )
        # What goes on from a snapshot was found worth while when that was taken.
        goes_on = SNAPSHOT in run.noted
        if not (force or goes_on) and new < settings.min_labels:
            return self._skip(f"{new} labels are new since {since}, and {settings.min_labels} make a retraining")
        run.note(public=fingerprint(self._public))
        with self._step("snapshot"):
            judges = self._judges(known.whole)
            snapshot = take(engine, run.folder / SNAPSHOT, judges=judges, learnt=known, public=self._public)
        if not (force or goes_on) and (before := find_verdict(engine, old.version, snapshot.fingerprint, self._told)):
            how = f"which {before.state} {before.model_version}, made of the same labels"
            return self._skip(f"nothing is new since run {before.run}, {how}")
        needed, judging = rows_needed(self._looks, old.version), snapshot.holdout
        judging += snapshot.fresh if settings.folds else 0
        if not (force or goes_on) and judging < needed:
            return self._skip(
                f"{judging} labels judge, and another candidate is tried against {old.version} when {needed} "
                f"do, {AGAIN:g} times those of the last try"
            )
        run.note(snapshot=snapshot.account())
        taken = Taken(at=datetime.fromisoformat(snapshot.taken_at), learnt_whole=run.noted["learnt_whole"])
        return self._candidates(old, snapshot, taken, known, force=force)

    def _candidates(
        self, old: ModelVersion, snapshot: Snapshot, taken: Taken, known: Learnt, *, force: bool
    ) -> Outcome:
        """Tune the champion and fit a candidate, judge both, and promote or reject the better one."""
        settings, run = self._settings, self._run
        # What is fitted for hours must not have nowhere to go.
        require_writable(settings.bundles)
        with self._step("download"):
            champion_folder, manifest, _ = fetch(old, run.folder / "champion")
        tuned, candidate = self._tuned(champion_folder, snapshot, known), run.folder / settings.name
        fit = settings.to_fit(snapshot.data, taken, champion=champion_folder, manifest=manifest, output=candidate)
        if not (candidate / MANIFEST).is_file():
            with self._step("fit"):
                fit_bundle(fit, self._stop)
        folds = write_folds(snapshot, run.folder, settings.folds)
        for at, fold in enumerate(folds):
            if not (fold.folder / MANIFEST).is_file():
                with self._step(f"fold {at}"):
                    fit_bundle(fit.model_copy(update={"data": fold.data, "output": fold.folder}), self._stop)
        export_alike(champion_folder, candidate)
        holdout = snapshot.judging_rows()
        with self._step("judge"):
            limits, rows = settings.gate.limits(), len(holdout) + sum(len(fold.rows) for fold in folds)
            chosen, told = judge_candidates(
                champion_folder,
                [*tuned, candidate],
                holdout,
                self._public,
                folds=folds,
                anchor=fetch_anchor(self._engine, old, run.folder / "anchor"),
                limits=limits,
                error=error_of_look(limits.error, self._looks, datetime.now(UTC), rows),
                seed=settings.seed,
            )
        run.note(**told)
        self._report(chosen.folder, holdout, chosen.verdict)
        with self._step("store"):
            stored = self._stored(old, *chosen)
        if forgotten_since(self._engine, taken.at):
            run.begin_anew("labels were forgotten that it had learnt, or may have")
            return self.outcome(force=force)
        with self._stop.held():
            outcome = decide(self._engine, run, stored, self._stop)
            # Only now: a disk that is full must not cost a verdict.
            self._keep(snapshot, fit, (stored.stand_in or old).location)
        return outcome

    @cached_property
    def _looks(self) -> list[Look]:
        return looks(self._engine, datetime.now(UTC) - YEAR, but=self._run.id)

    def _tuned(self, champion_folder: Path, snapshot: Snapshot, known: Learnt) -> list[Path]:
        """Return the folder of the champion tuned to the labels, or none where nothing is won by that."""
        if not self._settings.tune:
            return []
        output = self._run.folder / f"tuned-{self._settings.name}"
        with self._step("tune"):
            labels = to_tune_to(snapshot, self._judges(known.whole), known)
            taken = known.tuned(snapshot.taken_at)
            found = tuned_champion(champion_folder, output, labels, taken=taken, seed=self._settings.seed)
        self._run.note(tuned=self._run.noted.get("tuned", {}) | found)
        return [output] if found["candidate"] else []

    def _report(self, candidate: Path, holdout: Examples, verdict: Verdict) -> None:
        """Write the report, and note where it will lie when the run is over."""
        run = self._run
        with self._step("report"):
            served = open_served(candidate)
            behaviour = behave(served) if follows_calls(served) else None
            evaluate(
                served, [holdout], run.folder / REPORT, held_out=True, verdict=verdict.lines(), behaviour=behaviour
            )
        run.note(report=str(run.folders.work / self._kept_report))

    def _stored(self, old: ModelVersion, folder: Path, verdict: Verdict) -> Candidate:
        """Put the candidate's bundle into the store, and before it the one that stood for a champion, if need be."""
        bundles, registered, stand_in = self._settings.bundles, None, None
        if old.state != "champion":
            registered = self._registered(old)
            stand_in = registered or publish_bundle(Path(old.location), bundles)
        note_bundle(self._run, describe_bundle(folder, bundles))
        return Candidate(
            publish_bundle(folder, bundles), verdict, old.version, stand_in, registered=registered is not None
        )

    def _registered(self, old: ModelVersion) -> ModelVersion | None:
        """Return what stood for a champion as it is registered, None where its bundle is not to be had there."""
        registered = {row.version: row for row in versions(self._engine)}.get(old.version)
        if registered and registered.location != PRUNED and registered.data_fingerprint == old.data_fingerprint:
            with suppress(RegistryError, UnusableModel):
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
        others = [name for name, (then, now) in pairs.items() if then is not None and then != now]
        taken_at = noted.get("snapshot", {}).get("taken_at") or snapshot_moment(self._run.folder / SNAPSHOT)
        if taken_at and forgotten_since(self._engine, datetime.fromisoformat(taken_at)):
            others.append("the history of forgotten labels")
        return others

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

    @property
    def _kept_report(self) -> str:
        return f"{REPORTS}/{self._run.folder.name}"

    def _keep(self, snapshot: Snapshot, fit: FitSettings, champion_at: str) -> None:
        """Leave the report behind, and the snapshot in place of the last, with the recipe that repeats the fit."""
        run = self._run
        moved = snapshot._replace(folder=self._settings.work / SNAPSHOT)
        base = champion_at if fit.warm_start else fit.base
        try:
            run.folders.keep(run.folder / REPORT, self._kept_report)
            write_recipe(fit.model_copy(update={"data": moved.data, "base": base}), snapshot.folder / RECIPE)
            run.folders.keep(snapshot.folder, SNAPSHOT)
        except (OSError, UnusableOutput) as error:
            log.warning("the run's report and snapshot could not both be kept", problem=str(error))

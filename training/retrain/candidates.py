"""The candidates of a retraining: the champion tuned to the labels, which costs seconds, and the fit.

A champion that is tuned is a candidate only where it wins on labels that it was not tuned to, and so seldom stands
before the gate by chance.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import structlog
from sqlalchemy import Engine

from registry.errors import RegistryError
from registry.lifecycle import anchor_of
from registry.postgres import database_problems
from registry.versions import ModelVersion, fetch
from schemas.bundle import MANIFEST
from training.data.examples import Examples
from training.data.splits import identity
from training.errors import UnusableData
from training.evaluate.predictor import open_served
from training.retrain.checks import Limits
from training.retrain.cross_fitting import Fold
from training.retrain.evaluate_pair import try_out
from training.retrain.gate import Verdict
from training.retrain.run_history import Learnt
from training.retrain.snapshot import Snapshot
from training.tune.run import join_sets, try_examples, write_tuned

log = structlog.get_logger(__name__)


class Judged(NamedTuple):
    """A candidate's folder, and what the gate says of it."""

    folder: Path
    verdict: Verdict


def tuned_champion(
    champion: Path, output: Path, labels: Examples, *, taken: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Write the champion, tuned to labels, where that wins on labels that it was not tuned to.

    Args:
        champion: folder of its bundle.
        output: folder of the tuned one; what is there from an earlier try stays.
        labels: that the champion has not learnt.
        taken: what a later run must know of them; see `training.retrain.run_history`.
        seed: random seed for the bootstrap samples.

    Returns:
        What to note of it: whether there is a candidate, and why.

    Raises:
        UnusableModel: the champion cannot be opened, or its scores are no numbers.
        UnusableOutput: the bundle cannot be written.
    """
    if (output / MANIFEST).is_file():
        return {"candidate": True}
    served = open_served(champion)
    try:
        trial = try_examples(served, labels, seed=seed)
    except UnusableData as error:
        # Too few labels to tune to may be enough for a fit.
        return {"candidate": False, "reason": str(error)}
    if trial.won:
        write_tuned(champion, served, output, trial, labels, taken=taken)
    found = {"candidate": trial.won, "labels": trial.rows, "gain": trial.gain, "sure": trial.sure}
    log.info("the champion is tuned", **found)
    return found


def to_tune_to(snapshot: Snapshot, judges: Callable[[str], bool], known: Learnt) -> Examples:
    """Return the rows of a snapshot that can tune the champion: it must not have learnt them.

    Args:
        snapshot: of the labels.
        judges: whether a source's rows can judge the champion, and so tune it.
        known: what it has learnt. Where its network has learnt nothing of the table, what teaches can tune it too.
    """
    sources = () if known.network else filter(judges, sorted(snapshot.teaching))
    teachers = (
        each.take(np.flatnonzero([not known.texts.holds(identity(text)) for text in each.texts]))
        for each in snapshot.teachers(sources)
    )
    return join_sets([*teachers, snapshot.chooses()])


def fetch_anchor(engine: Engine, champion: ModelVersion, cache: Path) -> Path | None:
    """Return the folder of the best champion so far, None where that is the present one or its bundle is away.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        champion: the present one.
        cache: folder for what is downloaded.
    """
    with database_problems(), engine.connect() as connection:
        anchor = anchor_of(connection)
    if not anchor or anchor.version == champion.version:
        return None
    try:
        return fetch(anchor, cache).folder
    except RegistryError as error:
        log.warning("the anchor's bundle cannot be had; the champion alone is compared with", problem=str(error))
        return None


def judge_candidates(  # noqa: PLR0913 - the models, the rows, and what is asked.
    champion: Path,
    folders: Sequence[Path],
    holdout: Examples,
    public: Sequence[Examples],
    *,
    folds: Sequence[Fold] = (),
    anchor: Path | None,
    limits: Limits,
    error: float,
    seed: int,
) -> tuple[Judged, dict[str, Any]]:
    """Judge each candidate against the champion; see `evaluate_pair.try_out`. They share the error of the look.

    Args:
        champion: folder of its bundle.
        folders: of the candidates' bundles, the cheapest first.
        holdout: rows that none has learnt.
        public: sets whose validation rows judge too.
        folds: fits like that of the last candidate, each without some of the labels, which judge it in their place.
        anchor: folder of the best champion so far, where it is another.
        limits: what is asked.
        error: of the look, for all candidates.
        seed: random seed for the bootstrap samples.

    Returns:
        The one to be decided on, and what to note of all.

    Raises:
        As `evaluate_pair.try_out`.
    """
    each_error = error / len(folders)
    judged = [
        Judged(
            each,
            try_out(
                champion,
                each,
                holdout,
                public,
                # The tuned champion may have seen the rows of the folds.
                folds=[(fold.folder, fold.rows) for fold in folds] if each == folders[-1] else [],
                anchor=anchor,
                limits=limits,
                error=each_error,
                seed=seed,
            ),
        )
        for each in folders
    ]
    chosen = choose_candidate(judged)
    plain = {each.folder.name: each.verdict.as_json() for each in judged}
    # A candidate that costs too much had no look at labels: it spends no error, and they stay new.
    look = {"error": sum(each.verdict.error for each in judged), "rows": max(each.verdict.rows for each in judged)}
    return chosen, {"verdict": plain[chosen.folder.name], "verdicts": plain, "look": look}


def choose_candidate(candidates: Sequence[Judged]) -> Judged:
    """Return what is to be decided on: of those that pass the gate the best, of equals the first; else the last."""
    passed = [each for each in candidates if each.verdict.promoted]
    return max(passed, key=lambda each: each.verdict.gain) if passed else candidates[-1]

"""From data sets and an encoder to a bundle: the whole of `emotion-training fit`, top to bottom."""

import hashlib
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog
import torch
from accelerate import PartialState

from schemas.bundle import Manifest
from schemas.emotions import EMOTIONS
from training.augmentation import synthetic, with_back_translations
from training.bundles import ensure_free
from training.checkpoints import Checkpoints, save
from training.datasets import load
from training.distillation import originals, soften, taught, together
from training.errors import UnusableData
from training.examples import UNLABELLED, Examples, fingerprint
from training.finishing import finish, measured
from training.leaks import without_leaks
from training.network import require_base
from training.settings import FitSettings
from training.side_by_side import fit_teachers
from training.stopping import StopSignal
from training.student import fit_student
from training.teachers import score_by
from training.unlabelled import labelled, read_lines, score_spoken

log = structlog.get_logger(__name__)


def fit_bundle(settings: FitSettings, stop: StopSignal | None = None) -> Manifest | None:
    """Fit a model and write its bundle.

    A run that was cut off goes on where it was, if it is started again with the same settings and data.

    Args:
        settings: of the run.
        stop: ends it at a checkpoint.

    Returns:
        The bundle's manifest; None in those of torchrun's processes that do not write it.

    Raises:
        Interrupted: the signal came.
        TrainingError: data, base or output cannot be used.
    """
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=4))
    ensure_free(settings.output)
    sets, evaluation, guarded = training_sets(settings)
    data = fingerprint(sets)
    with state.main_process_first():
        checkpoints = Checkpoints(settings.output, run_fingerprint(settings, data), stop)
    sets = with_teaching(sets, guarded, settings, checkpoints, state)
    student = fit_student(sets, settings, resumable=checkpoints.fit("student"))
    if not state.is_main_process:
        return None
    manifest = finish(student, sets, evaluation, settings, data)
    checkpoints.discard()
    log.info("bundle is written", folder=str(settings.output), version=manifest.version)
    return manifest


class TrainingSets(NamedTuple):
    """What a run learns from, what it is measured on, and what no row may be near to: that, and what tests others."""

    learned: list[Examples]
    evaluation: list[Examples]
    guarded: list[Examples]


def training_sets(settings: FitSettings) -> TrainingSets:
    """Read what a run learns from, without rows that leak from what it or another is measured on; and the latter.

    Raises:
        UnusableData: a set cannot be used, none teaches the served emotions, or one emotion has no row.
    """
    evaluation = load(settings.data, "validation")
    validation = measured(evaluation, settings)
    guarded = [*evaluation, *load(settings.data, "test")]
    sets = [*load(settings.data, "train"), *synthetic(settings)]
    sets, leaks = without_leaks(sets, guarded)
    sets = [with_back_translations(examples, settings) for examples in sets]
    if not any(settings.learning.weight(examples.source) for examples in sets):
        raise UnusableData("none of the training sets weighs anything on the served head: see learning.served_weight")
    # A warm start knows them all, and may learn more of some.
    for at, emotion in () if settings.warm_start else enumerate(EMOTIONS):
        if not any((examples.targets[:, at] * settings.learning.weight(examples.source)).any() for examples in sets):
            raise UnusableData(f"no row of the training sets carries {emotion}: add a set that has some")
    rows = {examples.source: len(examples) for examples in sets}
    log.info("data is read", **rows, validation=len(validation), refused_as_leaks=len(leaks))
    return TrainingSets(sets, evaluation, guarded)


def run_fingerprint(settings: FitSettings, data: str) -> str:
    """Return a hash of what makes a run what it is: its settings, and the fingerprint of its data."""
    said = settings.model_dump_json(exclude={"output": True, "teaching": {"side_by_side"}})
    return hashlib.sha256((said + data).encode()).hexdigest()


def with_teaching(
    sets: list[Examples],
    guarded: list[Examples],
    settings: FitSettings,
    checkpoints: Checkpoints,
    state: PartialState,
) -> list[Examples]:
    """Return all that a student learns from: teachers' scores in the place of labels, and lines that got theirs so."""
    # Read first: a path that is wrong must not come to light after hours.
    lines = read_lines(settings.teaching.unlabelled, settings.teaching.unlabelled_lines)
    sets = _taught_by_teachers(sets, settings, checkpoints, state)
    if lines:
        sets += without_leaks([_labelled_by_a_student(lines, sets, settings, checkpoints, state)], guarded)[0]
    return sets


def _taught_by_teachers(
    sets: list[Examples], settings: FitSettings, checkpoints: Checkpoints, state: PartialState
) -> list[Examples]:
    """Put teachers' scores in the place of labels, where there are originals and teachers.

    Each generation of teachers but the first learns from the scores of the one before.
    """
    teaching, english = settings.teaching, originals(sets)
    if english is None or not (teaching.folds or teaching.models):
        return sets
    for name in teaching.bases if teaching.folds else ():
        require_base(name, "teaching.bases")  # Before others have learned for hours.
    others = []
    for at, name in enumerate(teaching.models):
        with state.main_process_first():
            others.append(checkpoints.array(f"model-{at}", partial(score_by, name, english.texts)))
    for generation in range(teaching.generations):
        parts = fit_teachers(sets, english, settings, checkpoints, state, generation=generation)
        scores = together(english, teaching.folds, parts, others)
        sets = taught(sets, english, soften(scores, teaching.temperature))
    return sets


def _labelled_by_a_student(
    lines: list[str], sets: list[Examples], settings: FitSettings, checkpoints: Checkpoints, state: PartialState
) -> Examples:
    """Let a first student label lines for the one that is kept.

    Sets whose labels count less than others on the served head count for nothing there, so that all lines are labelled
    by one convention.
    """
    teaching = settings.teaching
    if not checkpoints.file(UNLABELLED).is_file():
        plain = settings.model_copy(
            update={"learning": settings.learning.of_one_convention(each.source for each in sets)}
        )
        first = fit_student(sets, plain, resumable=checkpoints.fit("first-student"), share=teaching.first_passes)
        if state.is_main_process:
            log.info("the first student labels lines", lines=len(lines))
            max_tokens = settings.learning.max_tokens
            save(checkpoints.file(UNLABELLED), score_spoken(first, lines, max_tokens))
        state.wait_for_everyone()
    return labelled(lines, checkpoints.load(UNLABELLED), teaching.unlabelled_weight)

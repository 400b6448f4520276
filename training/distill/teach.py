"""The teaching step of a fit: teachers' scores replace labels, and pseudo-labelled lines join the rows."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
from accelerate import PartialState

from schemas.decisions import Floats
from training.data.examples import UNLABELLED, Examples
from training.data.leakage import without_leaks
from training.distill.bundle_teacher import BundleTeacher
from training.distill.parallel import fit_teachers
from training.distill.pseudo_labels import pseudo_labelled, read_lines, score_spoken
from training.distill.targets import (
    Teachers,
    english_originals,
    mean_scores,
    replace_labels,
    soften,
    split_by_convention,
)
from training.errors import UnusableData
from training.learn.batches import block
from training.learn.checkpoints import Checkpoints, save
from training.learn.final_model import fit_student
from training.learn.network import require_base
from training.settings import LearningPlan, NetworkStart, Teaching

log = structlog.get_logger(__name__)


class FitContext(NamedTuple):
    """What all networks of a run share.

    Attributes:
        conventions: Conventions of labels, the default one first.
        start: The network before it learns.
        plan: How networks learn.
        checkpoints: Folder of what is done.
        processes: Which of torchrun's processes this is.
    """

    conventions: Sequence[str]
    start: NetworkStart
    plan: LearningPlan
    checkpoints: Checkpoints
    processes: PartialState


def teach(sets: list[Examples], teaching: Teaching, context: FitContext, guarded: Sequence[Examples]) -> list[Examples]:
    """Replace labels by teacher scores and add pseudo-labelled lines.

    Args:
        sets: Sets of the run.
        teaching: Teachers, a bundle that teaches, unlabelled lines.
        context: What all networks of the run share.
        guarded: Rows that measure; lines near to one are left out.

    Raises:
        UnusableData: there are no lines, or nothing labelled for the teachers.
        UnusableModel: an encoder or the bundle cannot be opened.
    """
    # What can be wrong with a path shows before hours of fitting.
    lines = read_lines(teaching.unlabelled, teaching.unlabelled_lines)
    bundle = BundleTeacher(Path(teaching.bundle)) if teaching.bundle else None
    # Teachers read English originals; their scores are the targets of the Russian translations.
    sets = _teach_by_originals(sets, teaching, context)
    # A bundle scores the Russian texts of the conventions that it knows.
    if bundle:
        with context.processes.main_process_first():
            shares = [teaching.share_of_labels(examples.source) for examples in sets]
            sets = [bundle.teach(at, each, shares[at], context.checkpoints) for at, each in enumerate(sets)]
    # Lines get the bundle's scores where it knows the convention, and a first student's elsewhere.
    if lines:
        scores = _score_lines(lines, sets, bundle, teaching.first_passes, context)
        added = pseudo_labelled(lines, scores, teaching.unlabelled_weight, context.conventions)
        sets = [*sets, *without_leaks([added], guarded)[0]]
    return sets


def _teach_by_originals(sets: list[Examples], teaching: Teaching, context: FitContext) -> list[Examples]:
    """Replace the labels of rows that have an English original by the mean of the teachers' scores."""
    ours, others = split_by_convention(sets)
    english = english_originals(ours)
    if english is None or not teaching.folds:
        return [*ours, *others]
    if not any(examples.annotated.any() for examples in ours):
        raise UnusableData(
            "teaching.parallel: no labelled rows with an English original teach the teachers. Add such a set, or set "
            "teaching.folds=0"
        )
    for name in teaching.bases:
        require_base(name, "teaching.bases")
    teachers = Teachers.of(teaching, context.start.base, context.plan)
    parts = fit_teachers(ours, english, teachers, context.checkpoints, context.processes)
    scores = mean_scores(english, teaching.folds, parts)
    return [*replace_labels(ours, english, soften(scores, teaching.temperature)), *others]


def _score_lines(
    lines: list[str], sets: list[Examples], bundle: BundleTeacher | None, share: float, context: FitContext
) -> Floats:
    """Return probabilities of lines, n x 7 for each convention; `share` is that of a first student's passes."""
    conventions, start, plan, checkpoints, processes = context
    known = set(bundle.conventions) if bundle else set()
    if bundle and set(conventions) <= known:
        with processes.main_process_first():
            return checkpoints.array(UNLABELLED, partial(bundle.scores, lines, conventions))
    if not checkpoints.file(UNLABELLED).is_file():
        # Sets that count less on the served head count for nothing there: one convention labels all lines.
        plain = plan._replace(learning=plan.learning.of_one_convention(each.source for each in sets))
        resumable = checkpoints.fit("first-student")
        first = fit_student(sets, conventions, start, plain, resumable=resumable, share=share)
        if processes.is_main_process:
            log.info("the first student labels lines", lines=len(lines))
            save(checkpoints.file(UNLABELLED), score_spoken(first, lines, plan.learning.max_tokens))
        processes.wait_for_everyone()
    scores = checkpoints.load(UNLABELLED)
    for at, name in enumerate(conventions):
        if bundle and name in known:
            scores[:, block(at)] = bundle.scores(lines, [name])
    return scores

"""From data sets and an encoder to a bundle: read, teach, learn, finish."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple, get_args

import structlog
import torch
from accelerate import PartialState

from registry.write import ensure_free
from schemas.bundle import Manifest
from schemas.emotions import EMOTIONS
from training.data import calls_corpus
from training.data.conventions import order_conventions, require_tuning_rows
from training.data.datasets import load
from training.data.examples import CALLS, PARALLEL, Examples, fingerprint, unlabelled
from training.data.leakage import without_leaks
from training.data.own_tables import may_choose, name_tables, part_tables
from training.data.public_sets import SOURCES, Split
from training.data.tables import read_parallel
from training.data.text_forms import synthesize_sets, with_back_translations
from training.distill.teach import FitContext, teach
from training.errors import UnusableData
from training.evaluate.behaviour import guarded_lines
from training.fit.finish import finish
from training.fit.settings import FitSettings
from training.learn.checkpoints import Checkpoints
from training.learn.final_model import fit_student
from training.learn.network import base_manifest
from training.signals import StopSignal

log = structlog.get_logger(__name__)

_FEW_STEPS: Final = 200
"""Steps from a plain encoder below which a model knows little; the shortest recipe takes some thousands."""


def fit_bundle(settings: FitSettings, stop: StopSignal | None = None) -> Manifest | None:
    """Fit a model and write its bundle.

    An interrupted run resumes, if it is started again with equal settings and data.

    Args:
        settings: What the recipe and the command line say.
        stop: Signal that ends the run at a checkpoint.

    Returns:
        The bundle's manifest; None in those of torchrun's processes that do not write it.

    Raises:
        Interrupted: the signal came.
        UserError: data, base or output cannot be used.
    """
    processes = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=4))
    ensure_free(settings.output)
    # Read: the rows that teach, that tune and that test.
    rows = read_rows(settings)
    data = fingerprint(rows.learned)
    with processes.main_process_first():
        checkpoints = Checkpoints(settings.output, run_fingerprint(settings, data), stop)
    # Teach: teachers' scores replace labels, and lines that nobody labelled join.
    context = FitContext(rows.conventions, settings.start, settings.plan, checkpoints, processes)
    taught = teach(rows.learned, settings.teaching, context, rows.guarded)
    # Learn: one network with a head for each convention.
    resumable = checkpoints.fit("student")
    student = fit_student(taught, rows.conventions, settings.start, settings.plan, resumable=resumable)
    if not processes.is_main_process:
        return None
    # Finish: calibrate, choose thresholds, measure, write.
    manifest = finish(student, taught, rows.evaluation, rows.tests, settings, data)
    checkpoints.discard()
    log.info("bundle is written", folder=str(settings.output), version=manifest.version)
    return manifest


class Rows(NamedTuple):
    """The rows of a run; none to learn from is near to one that tunes or tests.

    Attributes:
        learned: Sets to learn from.
        evaluation: Sets that choose thresholds and calibration.
        tests: Sets that test this model or others.
        conventions: Conventions of labels, the default one first.
    """

    learned: list[Examples]
    evaluation: list[Examples]
    tests: list[Examples]
    conventions: list[str]

    @property
    def guarded(self) -> list[Examples]:
        """The rows that measure."""
        return [*self.evaluation, *self.tests]


def read_rows(settings: FitSettings) -> Rows:
    """Read the rows of a run, and leave out those that leak from what measures it or another.

    Raises:
        UnusableData: a set cannot be used, none teaches the served emotions, or one emotion has no row.
    """
    augmentation, base = settings.augmentation, base_manifest(settings.start)
    learned, evaluation, tests = (load(settings.data, split, settings.convention) for split in get_args(Split))
    may = may_choose(settings.measured, settings.data)
    if settings.taken is None:
        # A retraining has parted its labels.
        measured = [examples.conventions for examples in evaluation if examples.source in may]
        learned, choosing = part_tables(learned, measured, name_tables(settings.data).values())
        evaluation += choosing
    tests.append(guarded_lines())
    if calls_corpus.NAME not in settings.data:
        # Its held-out tenth measures every release, so this fit must not learn from it either.
        tests.append(unlabelled(calls_corpus.load_calls("test")))
    if not any(map(len, learned)):
        raise UnusableData(
            f"{', '.join(settings.data)}: there are no rows that teach. Leave out the column split, or say train in it"
        )
    learned += [read_parallel(Path(place)) for place in settings.teaching.parallel]
    served = order_conventions(learned, settings.convention, base)[0]
    made = synthesize_sets(augmentation.synthetic, settings.seed)
    learned += [replace(examples, conventions=(served,)) for examples in made]
    validation = require_tuning_rows(evaluation, may, served)
    learned, leaks = without_leaks(learned, [*evaluation, *tests])
    learned = [with_back_translations(examples, augmentation) for examples in learned]
    _require_labels(learned, served, settings)
    _warn_of_few_steps(learned, settings)
    counts = {examples.source: len(examples) for examples in learned}
    log.info("data is read", **counts, validation=len(validation), refused_as_leaks=len(leaks))
    # Parallel text has the convention of its teachers, and none of its own.
    labelled = [examples for examples in learned if examples.source != PARALLEL]
    return Rows(learned, evaluation, tests, order_conventions(labelled, settings.convention, base))


def _require_labels(sets: list[Examples], convention: str, settings: FitSettings) -> None:
    """Make sure that each emotion is taught to the head that is served by default."""
    weight = settings.learning.weight
    teaching = [examples for examples in sets if examples.conventions == (convention,) and weight(examples.source)]
    if not teaching:
        raise UnusableData("none of the training sets weighs anything on the served head: see learning.served_weight")
    # A warm start knows them all, and may learn more of some.
    for at, emotion in () if settings.warm_start else enumerate(EMOTIONS):
        if not any(examples.targets[:, at].any() for examples in teaching):
            rows = ", ".join(f"{examples.source} with {len(examples)} rows" for examples in teaching)
            more = "calls" if convention == CALLS else SOURCES[0].hub[0]
            raise UnusableData(
                f"no row that teaches carries {emotion} ({rows}). Label texts that carry it, name a set that has some "
                f"(--data … {more}), or go on from a model that knows it (--base models/ru-emotions-small --set "
                "warm_start=true)"
            )


def _warn_of_few_steps(sets: list[Examples], settings: FitSettings) -> None:
    """Tell who fits few rows from a plain encoder that these hardly move it."""
    rows = sum(len(examples) * settings.learning.passes(examples.source) for examples in sets)
    steps = rows // settings.learning.batch_size
    if steps < _FEW_STEPS and not settings.warm_start:
        log.warning(
            "so few steps teach an encoder little",
            steps=steps,
            advice="raise learning.epochs.other, go on from a model (--base models/ru-emotions-small --set "
            "warm_start=true), or fit thresholds alone by `emotion-training tune`",
        )


def run_fingerprint(settings: FitSettings, data: str) -> str:
    """Return a hash of what identifies a run: its settings, and the fingerprint of its data."""
    text = settings.model_dump_json(exclude={"output": True, "teaching": {"side_by_side"}})
    return hashlib.sha256((text + data).encode()).hexdigest()

"""From data sets and an encoder to a bundle: the whole of `emotion-training fit`, top to bottom."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
import numpy as np
import structlog
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from schemas.bundle import Calibration, Manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from training.augmentation import as_spoken, forms, synthetic
from training.bundles import ensure_free, now, write_bundle
from training.card import card
from training.checkpoints import Checkpoints
from training.datasets import load
from training.distillation import (
    UNLABELLED,
    labelled,
    originals,
    read_lines,
    score_spoken,
    soften,
    taught,
    together,
)
from training.errors import UnusableData
from training.evaluation import cross_fitted, measure
from training.examples import Examples, fingerprint
from training.fine_tune import fit
from training.leaks import without_leaks
from training.lessons import heads, lesson
from training.network import fold_calibration, keep_served, open_base, score
from training.settings import FitSettings
from training.side_by_side import fit_teachers
from training.teachers import score_by
from training.thresholds import best_thresholds, platt, probabilities
from training.vocabulary import cut, pieces_to_keep

log = structlog.get_logger(__name__)

_MAX_TOKENS: Final = 128
"""What the worker cuts texts at; the longest of 8,742 real transcript lines had 126."""


def fit_bundle(settings: FitSettings) -> Manifest | None:
    """Fit a model and write its bundle.

    A run that was cut off goes on where it was, if it is started again with the same settings and data.

    Returns:
        The bundle's manifest; None in those of torchrun's processes that do not write it.

    Raises:
        TrainingError: data, base or output cannot be used.
    """
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=4))
    ensure_free(settings.output)
    sets, validation = training_sets(settings)
    name = _fingerprint(settings, sets)
    with state.main_process_first():
        checkpoints = Checkpoints(settings.output, name)
    sets = _taught_by_teachers(sets, settings, checkpoints, state)
    if settings.teaching.unlabelled:
        sets = [*sets, _labelled_by_a_student(sets, settings, checkpoints, state)]
    model, tokenizer, history = _student(sets, settings, checkpoints, "student")
    if not state.is_main_process:
        return None
    manifest = _write(model, tokenizer, sets, validation, settings, history)
    checkpoints.discard()
    log.info("bundle is written", folder=str(settings.output), version=manifest.version)
    return manifest


def training_sets(settings: FitSettings) -> tuple[list[Examples], Examples]:
    """Read what a run learns from, without rows that leak from what it is measured on; and the latter.

    Raises:
        UnusableData: a set cannot be used, none teaches the served emotions, or one emotion has no row.
    """
    evaluation = load(settings.data, "validation")
    validation = next((examples for examples in evaluation if examples.source == settings.measured), None)
    if validation is None:
        raise UnusableData(
            f"there are no validation rows of {settings.measured}: name its folder or hub name in the data, or another "
            "set as `measured`"
        )
    sets = [*load(settings.data, "train"), *synthetic(settings)]
    sets, leaks = without_leaks(sets, evaluation)
    if not any(settings.learning.weight(examples.source) for examples in sets):
        raise UnusableData("none of the training sets weighs anything on the served head: see learning.served_weight")
    for at, emotion in enumerate(EMOTIONS):
        if not any((examples.targets[:, at] * settings.learning.weight(examples.source)).any() for examples in sets):
            raise UnusableData(f"no row of the training sets carries {emotion}: add a set that has some")
    rows = {examples.source: len(examples) for examples in sets}
    log.info("data is read", **rows, validation=len(validation), refused_as_leaks=len(leaks))
    return sets, validation


def _fingerprint(settings: FitSettings, sets: Sequence[Examples]) -> str:
    said = settings.model_dump_json(exclude={"output": True, "teaching": {"side_by_side"}})
    return hashlib.sha256((said + fingerprint(sets)).encode()).hexdigest()


def _taught_by_teachers(
    sets: list[Examples], settings: FitSettings, checkpoints: Checkpoints, state: PartialState
) -> list[Examples]:
    """Put teachers' scores in the place of labels, where there are originals and teachers."""
    teaching, english = settings.teaching, originals(sets)
    if english is None or not (teaching.folds or teaching.models):
        return sets
    parts = fit_teachers(sets, english, settings, checkpoints, state)
    others = []
    for at, name in enumerate(teaching.models):
        with state.main_process_first():
            others.append(checkpoints.array(f"model-{at}", lambda name=name: score_by(name, english.texts)))
    return taught(sets, english, soften(together(english, teaching.folds, parts, others), teaching.temperature))


def _labelled_by_a_student(
    sets: list[Examples], settings: FitSettings, checkpoints: Checkpoints, state: PartialState
) -> Examples:
    """Let a first student label lines for the one that is kept."""
    teaching = settings.teaching
    lines = read_lines(teaching.unlabelled)
    file = checkpoints.file(UNLABELLED)
    if not file.is_file():
        model, tokenizer, _ = _student(sets, settings, checkpoints, "first-student")
        if state.is_main_process:
            log.info("the first student labels lines", lines=len(lines))
            max_tokens = settings.learning.max_tokens
            checkpoints.array(UNLABELLED, lambda: score_spoken(model, tokenizer, lines, max_tokens))
        state.wait_for_everyone()
    return labelled(lines, checkpoints.array(UNLABELLED, lambda: np.empty(0, np.float32)), teaching.unlabelled_weight)


def _student(
    sets: Sequence[Examples], settings: FitSettings, checkpoints: Checkpoints, name: str
) -> tuple[Any, Any, list[dict[str, float]]]:
    """Fit a network on all sets; its output layer keeps a head for each source."""
    names = heads([examples.source for examples in sets if examples.source != UNLABELLED])
    model, tokenizer = open_base(settings.base, len(EMOTIONS) * len(names), settings.seed, settings.learning.dropout)
    lessons = [
        lesson(
            examples,
            tokenizer,
            names,
            settings,
            passes=settings.teaching.unlabelled_epochs if examples.source == UNLABELLED else None,
        )
        for examples in sets
    ]
    log.info("a network learns", what=name, heads=names)
    history = fit(model, tokenizer, lessons, settings, settings.seed, folder=checkpoints.folder(name))
    return model, tokenizer, history


def _write(
    model: Any,
    tokenizer: Any,
    sets: Sequence[Examples],
    validation: Examples,
    settings: FitSettings,
    history: list[dict[str, float]],
) -> Manifest:
    keep_served(model)
    russian = [text for examples in sets if examples.source != UNLABELLED for text in _russian(examples, settings)]
    tokenizer = cut(model, tokenizer, pieces_to_keep(tokenizer, russian))
    log.info("vocabulary is cut", pieces=len(tokenizer))
    metrics, thresholds = _finish(model, tokenizer, validation, settings)
    metrics |= {
        "rows": {examples.source: len(examples) for examples in sets},
        "settings": settings.model_dump(mode="json", exclude={"data", "base", "base_name", "output", "report_to"}),
        "learning_curve": history,
    }
    manifest = Manifest(
        version=f"{settings.output.name}-{now():%Y%m%d%H%M%S}",
        labels=EMOTIONS,
        thresholds=dict(zip(EMOTIONS, thresholds.tolist(), strict=True)),
        calibration={emotion: Calibration() for emotion in EMOTIONS},
        normalizer=NORMALIZER,
        base_model=settings.base_name or settings.base,
        data_fingerprint=fingerprint(sets),
        metrics=metrics,
        created_at=now().isoformat(),
        max_tokens=_MAX_TOKENS,
    )
    write_bundle(settings.output, model, tokenizer, manifest, card(settings.output.name, manifest, len(tokenizer)))
    return manifest


def _russian(examples: Examples, settings: FitSettings) -> list[str]:
    return [text for form in forms(examples, settings) for text in form.texts] if examples.language == "ru" else []


def _finish(
    model: Any, tokenizer: Any, validation: Examples, settings: FitSettings
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Calibrate the model in place, choose thresholds, and measure; return metrics and thresholds.

    What is measured is what will be written: weights rounded to float16.
    """
    texts = [as_spoken(text) for text in validation.texts]
    targets = validation.targets
    model.half().float()
    logits = score(model, tokenizer, texts, _MAX_TOKENS)
    crossed = cross_fitted(logits, targets, validation.parts(2))
    calibration = platt(logits, targets)
    fold_calibration(model, calibration)
    model.half().float()
    scores = probabilities(score(model, tokenizer, texts, _MAX_TOKENS))
    thresholds = best_thresholds(scores, targets)
    folded = dict(zip(EMOTIONS, map(msgspec.to_builtins, calibration), strict=True))
    metrics = {
        "measured_on": f"{settings.measured} validation in ASR form",
        "cross_fitted": crossed,
        "as_served": measure(scores, targets, thresholds),
        "folded_calibration": folded,
    }
    for half in crossed:
        log.info(
            "measured",
            tuned_on_half=half["tuned_on_half"],
            tuned=round(half["tuned"]["weighted_f1"], 4),
            weighted_f1=round(half["measured"]["weighted_f1"], 4),
            macro_f1=round(half["measured"]["macro_f1"], 4),
        )
    return metrics, thresholds

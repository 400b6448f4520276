"""From a student to a bundle: one head, a Russian vocabulary, calibration, thresholds, figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.bundle import MANIFEST, Calibration, Manifest, read_manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from training.augmentation import as_spoken
from training.bundles import now, write_bundle
from training.card import card
from training.errors import UnusableData
from training.evaluation import cross_fitted, measure
from training.examples import Examples
from training.network import fold_calibration, keep_served, score
from training.settings import FitSettings
from training.student import Student
from training.thresholds import Mask, choose_thresholds, platt, probabilities
from training.vocabulary import cut, pieces_to_keep

log = structlog.get_logger(__name__)

_MAX_TOKENS: Final = 128
"""What the worker cuts texts at; the longest of 8,742 real transcript lines had 126."""

_OF_THIS_MACHINE: Final[Any] = {
    **dict.fromkeys(("data", "base", "base_name", "output", "report_to"), True),
    "teaching": {"models", "unlabelled", "side_by_side"},
    "augmentation": {"back_translations"},
}
"""Settings that name folders, and make no difference to the model."""


def measured(evaluation: Sequence[Examples], settings: FitSettings) -> Examples:
    """Return the rows that choose thresholds and calibration."""
    for examples in evaluation:
        if examples.source == settings.measured:
            return examples
    raise UnusableData(
        f"there are no validation rows of {settings.measured}: name its folder or hub name in the data, or another "
        "set as `measured`"
    )


def finish(
    student: Student, sets: Sequence[Examples], evaluation: Sequence[Examples], settings: FitSettings, data: str
) -> Manifest:
    """Write the bundle.

    Args:
        student: fitted; it is changed.
        sets: what it learned from.
        evaluation: sets to measure on.
        settings: of the run.
        data: fingerprint of the data as it was read.

    Raises:
        UnusableOutput: the bundle cannot be written.
    """
    model, tokenizer, _, history, pieces = student
    keep_served(model)
    if not settings.warm_start:
        tokenizer = cut(model, tokenizer, pieces_to_keep(tokenizer, pieces))
        log.info("vocabulary is cut", pieces=len(tokenizer))
    metrics, thresholds = _calibrated(model, tokenizer, measured(evaluation, settings), settings)
    metrics |= {
        "network": model.config.model_type,
        "rows": {examples.source: len(examples) for examples in sets},
        "settings": settings.model_dump(mode="json", exclude=_OF_THIS_MACHINE),
        "learning_curve": history,
    }
    manifest = Manifest(
        version=f"{settings.output.name}-{now():%Y%m%d%H%M%S}",
        labels=EMOTIONS,
        thresholds=dict(zip(EMOTIONS, thresholds.tolist(), strict=True)),
        calibration={emotion: Calibration() for emotion in EMOTIONS},
        normalizer=NORMALIZER,
        base_model=settings.base_name or settings.base,
        data_fingerprint=data,
        metrics=metrics,
        created_at=now().isoformat(),
        max_tokens=_MAX_TOKENS,
    )
    write_bundle(settings.output, model, tokenizer, manifest, card(settings.output.name, manifest, len(tokenizer)))
    return manifest


def _calibrated(
    model: Any, tokenizer: Any, validation: Examples, settings: FitSettings
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Calibrate the model in place, choose thresholds, and measure; return metrics and thresholds.

    What is measured is what will be written: weights rounded to float16.
    """
    texts = [as_spoken(text) for text in validation.texts]
    targets = validation.targets
    model.half().float()
    logits = score(model, tokenizer, texts, _MAX_TOKENS)
    annotated = validation.annotated
    crossed = cross_fitted(logits, targets, validation.parts(2), annotated=annotated, aim=settings.aim)
    few, before = _kept(validation, settings)
    fitted = platt(logits, targets, annotated)
    calibration = [Calibration() if rare else new for rare, new in zip(few, fitted, strict=True)]
    fold_calibration(model, calibration)
    model.half().float()
    scores = probabilities(score(model, tokenizer, texts, _MAX_TOKENS))
    chosen = choose_thresholds(scores, targets, settings.aim, precision=settings.precision, annotated=annotated)
    thresholds = np.where(few, before, chosen).astype(np.float32)
    folded = dict(zip(EMOTIONS, map(msgspec.to_builtins, calibration), strict=True))
    metrics = {
        "measured_on": f"{settings.measured.removesuffix('validation')} validation in ASR form".lstrip(),
        "cross_fitted": crossed,
        "as_served": measure(scores, targets, thresholds, annotated),
        "folded_calibration": folded,
        "kept_thresholds": [emotion for emotion, rare in zip(EMOTIONS, few, strict=True) if rare],
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


def _kept(validation: Examples, settings: FitSettings) -> tuple[Mask, NDArray[np.float32]]:
    """Return which emotions keep what the base has, for want of validation rows, and the base's thresholds: 7 each.

    Scores of a warm start are the base's, calibrated, until it learns; where few rows speak against it, the base's own
    tuning on many rows errs less than new tuning on few.
    """
    if not settings.warm_start:
        return np.zeros(len(EMOTIONS), np.bool_), np.zeros(len(EMOTIONS), np.float32)
    positives = (validation.targets * validation.annotated).sum(0)
    base = read_manifest((Path(settings.base) / MANIFEST).read_bytes())
    return positives < settings.fewest_positives, np.array([base.thresholds[each] for each in EMOTIONS], np.float32)

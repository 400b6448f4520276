"""From data sets and an encoder to a bundle: the whole of `emotion-training fit`, top to bottom."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.bundle import Calibration, Manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from training.augmentation import as_spoken, forms
from training.bundles import ensure_free, now, write_bundle
from training.card import card
from training.datasets import load
from training.distillation import originals, out_of_fold, taught
from training.errors import UnusableData
from training.evaluation import cross_fitted, measure
from training.examples import Examples, fingerprint
from training.fine_tune import fit, fold_calibration, keep_served, open_base, score
from training.lessons import Curriculum, heads, lesson
from training.settings import NATIVE, SERVED, FitSettings
from training.thresholds import best_thresholds, platt, probabilities
from training.vocabulary import cut, pieces_to_keep

log = structlog.get_logger(__name__)

MEASURED: Final = "ru_go_emotions"
"""The set whose validation rows choose the thresholds."""

_MAX_TOKENS: Final = 128
"""What the worker cuts texts at; the longest of 8,742 real transcript lines had 126."""


def fit_bundle(settings: FitSettings) -> Manifest:
    """Fit a model and write its bundle.

    Raises:
        TrainingError: data, base or output cannot be used.
    """
    ensure_free(settings.output)
    sets, validation = load(settings.data, "train"), validation_set(settings.data)
    if not any(examples.source in SERVED for examples in sets):
        raise UnusableData(f"none of the training sets teaches the served labels: give one of {', '.join(SERVED)}")
    log.info("data is read", **{examples.source: len(examples) for examples in sets}, validation=len(validation))
    model, tokenizer = _student(sets, settings)
    keep_served(model)
    russian = [text for examples in sets for text in examples.texts if examples.language == "ru"]
    tokenizer = cut(
        model, tokenizer, pieces_to_keep(tokenizer, [text for form in forms(russian, "ru") for text in form])
    )
    log.info("vocabulary is cut", pieces=len(tokenizer))
    metrics, thresholds = _finish(model, tokenizer, validation)
    metrics |= {"rows": {examples.source: len(examples) for examples in sets}, "settings": _recorded(settings)}
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
    text = card(settings.output.name, manifest, len(tokenizer))
    write_bundle(settings.output, model, tokenizer, manifest, text)
    log.info("bundle is written", folder=str(settings.output))
    return manifest


def validation_set(data: Sequence[str]) -> Examples:
    """Return the validation rows that choose the thresholds.

    Raises:
        UnusableData: none of the sets has them.
    """
    for examples in load(data, "validation"):
        if examples.source == MEASURED:
            return examples
    raise UnusableData(
        f"there are no validation rows of {MEASURED}: name its folder, or seara/ru_go_emotions, in --data"
    )


def _student(sets: list[Examples], settings: FitSettings) -> tuple[Any, Any]:
    """Fit the network on all sets, by the teachers' scores where there are teachers."""
    names = heads(sets, SERVED)
    english = originals(sets) if settings.folds else None
    if english is not None:
        sets = taught(sets, english, out_of_fold(english, settings))
    model, tokenizer = open_base(settings.base, len(EMOTIONS) * len(names), settings.seed)
    lessons = [
        lesson(
            examples,
            tokenizer,
            names,
            settings,
            passes=settings.epochs if examples.source == MEASURED else settings.side_epochs,
            served_weight=_weight(examples.source, settings),
        )
        for examples in sets
    ]
    curriculum = Curriculum(lessons, settings)
    log.info("the model learns", heads=names, steps=-(-len(curriculum) // settings.batch_size))
    fit(model, tokenizer, curriculum, settings)
    return model, tokenizer


def _weight(source: str, settings: FitSettings) -> float:
    """Return how much a source's labels count on the served head."""
    if source in SERVED:
        return 1.0
    return settings.native_weight if source in NATIVE else 0.0


def _finish(model: Any, tokenizer: Any, validation: Examples) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Calibrate the model in place, choose thresholds, and measure; return metrics and thresholds.

    What is measured is what will be written: weights rounded to float16.
    """
    texts = [as_spoken(text) for text in validation.texts]
    targets = validation.targets
    model.half().float()
    crossed = cross_fitted(score(model, tokenizer, texts, _MAX_TOKENS), targets, validation.parts(2))
    calibration = platt(score(model, tokenizer, texts, _MAX_TOKENS), targets)
    fold_calibration(model, calibration)
    model.half().float()
    scores = probabilities(score(model, tokenizer, texts, _MAX_TOKENS))
    thresholds = best_thresholds(scores, targets)
    folded = dict(zip(EMOTIONS, map(msgspec.to_builtins, calibration), strict=True))
    metrics = {
        "measured_on": f"{MEASURED} validation in ASR form",
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


def _recorded(settings: FitSettings) -> dict[str, Any]:
    """Return the settings that make the model what it is; folders are this machine's own."""
    return {
        name: value for name, value in asdict(settings).items() if name not in {"data", "base", "base_name", "output"}
    }

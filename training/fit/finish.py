"""From a student to a bundle: a head for each convention, a Russian vocabulary, tuning, figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from registry.contents import open_bundle
from registry.write import now, write_bundle
from schemas.bundle import Manifest, version_of
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER
from training.data.conventions import kept_conventions, tuning_rows
from training.data.examples import Examples
from training.data.known_texts import ALL_TEXTS_KNOWN, KnownTexts, known_texts, tells_all
from training.data.own_tables import may_choose
from training.evaluate.model_card import card, public_name
from training.fit.calibration import MAX_TOKENS, Tuner
from training.fit.settings import FitSettings
from training.learn.batches import Head, block
from training.learn.final_model import Student
from training.learn.network import base_manifest, keep_outputs
from training.learn.vocabulary import cut, pieces_to_keep

log = structlog.get_logger(__name__)

_OF_THIS_MACHINE: Final[Any] = {
    **dict.fromkeys(("data", "base", "base_name", "output", "report_to"), True),
    "teaching": {"parallel", "bundle", "unlabelled", "side_by_side"},
    "augmentation": {"back_translations"},
}
"""Settings that name folders, and make no difference to the model."""


def finish(  # noqa: PLR0913, PLR0917 - what a bundle is made of.
    student: Student,
    sets: Sequence[Examples],
    evaluation: Sequence[Examples],
    tests: Sequence[Examples],
    settings: FitSettings,
    data: str,
) -> Manifest:
    """Write the bundle.

    Args:
        student: Fitted network, which is changed in place.
        sets: Sets that it learned from.
        evaluation: Sets that choose thresholds and calibration.
        tests: Sets that nobody learns from or chooses by.
        settings: What the recipe and the command line say.
        data: Fingerprint of the data as it was read.

    Raises:
        UnusableOutput: the bundle cannot be written.
    """
    model, tokenizer, heads, history, pieces = student
    base, served = base_manifest(settings.start), [head.convention for head in heads if not head.source]
    # Only heads of conventions with rows to tune them stay, and only the pieces of Russian words.
    may = may_choose(settings.measured, settings.data)
    names = kept_conventions(served, evaluation, may, base)
    keep_outputs(model, _outputs(heads, names))
    if not settings.warm_start:
        tokenizer = cut(model, tokenizer, pieces_to_keep(tokenizer, pieces))
        log.info("vocabulary is cut", pieces=len(tokenizer))
    # Thresholds and calibration come from the validation rows of each convention.
    tuner = Tuner({name: settings.rule(name) for name in names}, settings.aim, settings.precision, base)
    rows = {name: tuning_rows(evaluation, may, name) for name in names}
    tunings, metrics = tuner.calibrate(model, tokenizer, rows, tests, fewest_positives=settings.fewest_positives)
    first, *others = names
    before = _before(settings)
    manifest = Manifest(
        version=version_of(settings.output.name, now()),
        labels=EMOTIONS,
        convention=first,
        thresholds=tunings[first].thresholds,
        calibration=tunings[first].calibration,
        neutral=tunings[first].neutral,
        others={name: tunings[name] for name in others},
        normalizer=NORMALIZER,
        base_model=public_name(settings.base_name or settings.base),
        data_fingerprint=data,
        metrics={
            **metrics[first],
            "others": {name: metrics[name] for name in others},
            "network": model.config.model_type,
            "rows": {examples.source: len(examples) for examples in sets},
            "settings": _public_settings(settings),
            "rows_before": _rows_before(before),
            ALL_TEXTS_KNOWN: all(tells_all(each.metrics) for _, each in before),
            "learning_curve": history,
        },
        created_at=now().isoformat(),
        max_tokens=MAX_TOKENS,
    )
    chose = [examples for examples in rows.values() if examples]
    known = KnownTexts.of(text for examples in (*sets, *chose) for text in examples.texts)
    for folder, _ in before:
        known |= known_texts(str(folder))
    text = card(settings.output.name, manifest, len(tokenizer))
    write_bundle(settings.output, model, tokenizer, manifest, text, known=known.encode())
    return manifest


def _outputs(heads: Sequence[Head], names: Sequence[str]) -> dict[str, int]:
    """Return the column of each output by its name; the default convention's outputs bear plain emotions."""
    return {
        emotion if name == names[0] else f"{name}:{emotion}": block(heads.index(Head(name))).start + at
        for name in names
        for at, emotion in enumerate(EMOTIONS)
    }


def _public_settings(settings: FitSettings) -> dict[str, Any]:
    """Return the settings that a bundle may tell to anybody, where folders have lost their paths."""
    dump = settings.model_dump(mode="json", exclude=_OF_THIS_MACHINE)
    for part, name in (("teaching", "bases"), ("augmentation", "translators")):
        dump[part][name] = list(map(public_name, dump[part][name]))
    return dump


def _before(settings: FitSettings) -> list[tuple[Path, Manifest]]:
    """Return the bundles that this one comes of: what it goes on from, and what taught it."""
    folders = [Path(settings.base)] if settings.warm_start else []
    folders += [Path(settings.teaching.bundle)] if settings.teaching.bundle else []
    return [(folder, open_bundle(folder).manifest) for folder in folders]


def _rows_before(before: Sequence[tuple[Path, Manifest]]) -> list[str]:
    """Return the sets that bundles had learnt, and what those came of."""
    learnt = [manifest.metrics for _, manifest in before]
    return sorted({name for metrics in learnt for key in ("rows", "rows_before") for name in metrics.get(key, ())})

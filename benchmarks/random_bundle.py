"""A bundle whose weights are random, for machines that have none: speed does not depend on them."""

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from registry.write import now, write_bundle
from schemas.bundle import Calibration, Manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER


def make_random_bundle(base: Path, folder: Path) -> None:
    """Write a bundle of the architecture and with the tokenizer of another model.

    Args:
        base: holds config.json and the tokenizer's files.
        folder: of the bundle; must not exist.
    """
    config = AutoConfig.from_pretrained(
        base,
        num_labels=len(EMOTIONS),
        id2label=dict(enumerate(EMOTIONS)),
        label2id={emotion: at for at, emotion in enumerate(EMOTIONS)},
        problem_type="multi_label_classification",
    )
    manifest = Manifest(
        version="random",
        labels=EMOTIONS,
        thresholds=dict.fromkeys(EMOTIONS, 0.5),
        calibration=dict.fromkeys(EMOTIONS, Calibration()),
        normalizer=NORMALIZER,
        base_model=base.name,
        data_fingerprint="none",
        metrics={},
        created_at=now().isoformat(),
    )
    factory: Any = AutoModelForSequenceClassification
    model = factory.from_config(config)
    write_bundle(folder, model, AutoTokenizer.from_pretrained(base), manifest, "Random weights, for benchmarks.\n")

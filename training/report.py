"""Measuring a bundle on data sets, and showing the figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from schemas.emotions import EMOTIONS
from training.augmentation import as_spoken
from training.bundles import open_bundle
from training.datasets import load
from training.errors import UnusableData
from training.evaluation import cross_fitted, measure
from training.fine_tune import score
from training.thresholds import probabilities

_FIGURES = ("f1", "average_precision", "ece", "threshold", "support")


def measure_bundle(folder: Path, data: Sequence[str]) -> dict[str, Any]:
    """Measure a bundle on the Russian validation rows of each set, in ASR form.

    Returns:
        For each source: as_served, with the manifest's thresholds, and cross_fitted, with thresholds and calibration
        tuned on one half of the set and measured on the other.

    Raises:
        TrainingError: the bundle or the data cannot be used.
    """
    model, tokenizer, manifest = open_bundle(folder)
    thresholds = np.array([manifest.thresholds[emotion] for emotion in EMOTIONS], np.float32)
    calibration = [manifest.calibration[emotion] for emotion in EMOTIONS]
    figures: dict[str, Any] = {}
    for examples in load(data, "validation"):
        if examples.language != "ru":
            continue
        logits = score(model, tokenizer, [as_spoken(text) for text in examples.texts], manifest.max_tokens)
        figures[examples.source] = {
            "as_served": measure(probabilities(logits, calibration), examples.targets, thresholds),
            "cross_fitted": cross_fitted(logits, examples.targets, examples.parts(2)),
        }
    if not figures:
        raise UnusableData(
            f"{', '.join(data)}: no Russian validation rows there; ru_go_emotions and brighter have some"
        )
    return figures


def tables(figures: dict[str, Any]) -> None:
    """Print a table for each set."""
    console = Console()
    for source, measured in figures.items():
        served = measured["as_served"]
        table = Table("emotion", *(name.replace("_", " ") for name in _FIGURES), title=f"{source}, as served")
        for emotion, row in served["emotions"].items():
            table.add_row(emotion, *(f"{row[name]:.3f}" if name != "support" else str(row[name]) for name in _FIGURES))
        console.print(table)
        console.print(_line("as served", served))
        for half in measured["cross_fitted"]:
            console.print(_line(f"tuned on half {half['tuned_on_half']}, there", half["tuned"]))
            console.print(_line(f"tuned on half {half['tuned_on_half']}, on the other half", half["measured"]))


def _line(what: str, figures: dict[str, Any]) -> str:
    return (
        f"{what}: weighted F1 {figures['weighted_f1']:.4f}, macro F1 {figures['macro_f1']:.4f}, "
        f"weighted AP {figures['weighted_ap']:.4f}, mean ECE {figures['mean_ece']:.4f} on {figures['rows']} rows"
    )

"""A model as the worker serves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.bundle import Manifest
from schemas.emotions import EMOTIONS
from training.bundles import open_bundle
from training.network import score
from training.thresholds import Floats, probabilities


@dataclass(frozen=True)
class Served:
    """A model as it is served.

    Attributes:
        manifest: of its bundle.
        logits: gives n x 7 for n texts, before the manifest's calibration.
    """

    manifest: Manifest
    logits: Callable[[Sequence[str]], Floats]

    def scores(self, logits: Floats) -> Floats:
        """Return calibrated probabilities, n x 7."""
        return probabilities(logits, [self.manifest.calibration[emotion] for emotion in EMOTIONS])

    @property
    def thresholds(self) -> Floats:
        """The threshold of each emotion, 7."""
        return np.array([self.manifest.thresholds[emotion] for emotion in EMOTIONS], np.float32)


def open_served(folder: Path) -> Served:
    """Open a bundle as the worker serves it.

    Raises:
        UnusableModel: it cannot be opened.
    """
    model, tokenizer, manifest = open_bundle(folder)
    return Served(manifest, lambda texts: score(model, tokenizer, texts, manifest.max_tokens))

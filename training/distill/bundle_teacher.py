"""A bundle as a teacher."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from registry.load import load_bundle
from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.evaluate.thresholds import probabilities
from training.learn.checkpoints import Checkpoints
from training.learn.network import score


class BundleTeacher:
    """A bundle that teaches: its scores of Russian texts in ASR form are their targets.

    Args:
        folder: Folder of the bundle.

    Raises:
        UnusableModel: it is no bundle of this version.
    """

    def __init__(self, folder: Path) -> None:
        self._model, self._tokenizer, self._manifest = load_bundle(folder)
        self.conventions = tuple(self._manifest.tunings)

    def scores(self, texts: Sequence[str], conventions: Sequence[str]) -> Floats:
        """Return calibrated probabilities, n x 7 for each of these conventions."""
        manifest, spoken = self._manifest, [as_spoken(text) for text in texts]
        logits = score(self._model, self._tokenizer, spoken, manifest.max_tokens, columns=len(manifest.outputs))
        blocks = []
        for name in conventions:
            calibration = manifest.tuning(name).calibration
            blocks.append(probabilities(logits[:, manifest.columns(name)], [calibration[each] for each in EMOTIONS]))
        return np.hstack(blocks)

    def teach(self, at: int, examples: Examples, share: float, checkpoints: Checkpoints) -> Examples:
        """Return a set with its labels mixed with the bundle's scores, where the bundle knows their convention.

        What was not annotated gets the scores alone.

        Args:
            at: Number of the set in the run, which names its checkpoint.
            examples: Rows of one set.
            share: Share of the labels in the targets, from 0 to 1.
            checkpoints: Folder of the scores.
        """
        if examples.language != "ru" or not set(examples.conventions) <= set(self.conventions):
            return examples
        scores = checkpoints.array(f"bundle-{at}", partial(self.scores, examples.texts, examples.conventions))
        mixed = (share * examples.targets + (1 - share) * scores).astype(np.float32)
        targets = np.where(examples.annotated, mixed, scores)
        return replace(examples, targets=targets, annotated=np.ones_like(examples.annotated))

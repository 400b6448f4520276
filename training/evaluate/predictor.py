"""A model as the worker serves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from registry.load import load_bundle
from schemas.bundle import Manifest, UnusableBundle
from schemas.decisions import Floats, Rule, rule_of
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel
from training.evaluate.thresholds import probabilities
from training.learn.network import score


@dataclass(frozen=True)
class Served:
    """A model as it is served.

    Attributes:
        manifest: its bundle's manifest.
        outputs: gives all outputs for n texts, n x 7 for each convention, before the manifest's calibration.
        convention: of labels that it follows; None stands for the manifest's default one.
    """

    manifest: Manifest
    outputs: Callable[[Sequence[str]], Floats]
    convention: str | None = None

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return the outputs of the convention, n x 7, before the manifest's calibration."""
        return self.outputs(texts)[:, self.manifest.columns(self.convention)]

    def scores(self, logits: Floats) -> Floats:
        """Return calibrated probabilities, n x 7."""
        calibration = self.manifest.tuning(self.convention).calibration
        return probabilities(logits, [calibration[emotion] for emotion in EMOTIONS])

    @property
    def rule(self) -> Rule:
        """Decides which emotions are assigned."""
        return rule_of(self.manifest.tuning(self.convention))

    def following(self, convention: str | None) -> "Served":
        """Return the model as it is served by another convention.

        Raises:
            UnusableModel: it does not know that one.
        """
        try:
            self.manifest.tuning(convention)
        except UnusableBundle as error:
            raise UnusableModel(str(error)) from error
        return replace(self, convention=convention)

    def for_labels(self, conventions: Sequence[str]) -> "Served":
        """Return the model by the convention that labels follow, where it knows that one and none was chosen.

        Args:
            conventions: that the labels follow.
        """
        [followed] = conventions if len(conventions) == 1 else [None]
        return self.following(followed) if self.convention is None and followed in self.manifest.tunings else self


def open_served(folder: Path, convention: str | None = None) -> Served:
    """Open a bundle as the worker serves it.

    Args:
        folder: the bundle's folder.
        convention: of labels; None stands for the bundle's default one.

    Raises:
        UnusableModel: it cannot be opened, or does not know the convention.
    """
    model, tokenizer, manifest = load_bundle(folder)
    columns = len(manifest.outputs)
    served = Served(manifest, lambda texts: score(model, tokenizer, texts, manifest.max_tokens, columns=columns))
    return served.following(convention)

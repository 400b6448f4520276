"""The settings of a fit; see `training.settings` for its parts."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from schemas.bundle import Neutral
from training.data.examples import CALLS
from training.settings import (
    NEUTRAL,
    OTHER,
    Augmentation,
    Count,
    Learning,
    LearningPlan,
    Network,
    NetworkStart,
    SettingsPart,
    Share,
    Some,
    Teaching,
)


class Taken(SettingsPart):
    """The labels of a retraining: what the next one must know of them, and reads in the bundle."""

    at: datetime
    """When they were taken from the table; what came in since is new."""
    learnt_whole: tuple[str, ...] = ()
    """Sets that what the fit goes on from had learnt before their labels had sides: their rows would flatter all that
    comes of it."""


class FitSettings(SettingsPart):
    """How to fit."""

    data: tuple[str, ...]
    """Sets: folders, files or hub names."""
    base: str
    """Folder or hub name of the encoder."""
    output: Path
    """The bundle's folder, which must not exist yet."""
    base_name: str | None = None
    """What to call the encoder in the manifest; None takes `base`."""
    warm_start: bool = False
    """Go on from `base`, a bundle: its output layer is where every head begins, and its vocabulary stays."""
    fewest_positives: Count = 50
    """Validation rows that an emotion must have, or it keeps the threshold and the calibration of the bundle that a
    warm start goes on from."""
    layers: Some | None = None
    """How many of the encoder's first layers to keep; None keeps all."""
    convention: Annotated[str, Field(pattern="^[a-z]+$", max_length=40)] = CALLS
    """Convention of the labels in tables of one's own. Where data follow several conventions, this one is served by
    default."""
    neutral: Mapping[str, Neutral] = NEUTRAL
    """Whether neutral is assigned exactly where no other emotion is (exclusive), or by a threshold of its own
    (independent), in each convention; `other` stands for those that are not named."""
    measured: tuple[str, ...] = ("ru_calls", "ru_go_emotions")
    """Sets whose validation rows choose thresholds and calibration, the first there is of each convention; tables of
    your own come after them. A convention without one is learnt along, and is not kept."""
    aim: Literal["f1", "precision"] = "f1"
    """What thresholds are chosen for: the best F1 of each emotion, or a precision."""
    precision: Share = 0.8
    """Precision that thresholds reach, where precision is the aim."""
    report_to: tuple[str, ...] = ()
    """Services that transformers' Trainer reports to, such as tensorboard."""
    seed: int = 0
    """Random seed for initial weights, row order and augmentation."""
    taken: Taken | None = None
    """When `data` was taken from the table of labels, and what may not judge: `retrain` says it in the recipe that it
    leaves, and the next one reads it in the bundle."""
    network: Network = Network()
    learning: Learning = Learning()
    teaching: Teaching = Teaching()
    augmentation: Augmentation = Augmentation()

    @field_validator("measured", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    def rule(self, convention: str) -> Neutral:
        """Return what neutral means in a convention."""
        return self.neutral.get(convention, self.neutral[OTHER])

    @property
    def start(self) -> NetworkStart:
        """The network before it learns."""
        return NetworkStart(self.base, self.network, self.layers, self.warm_start)

    @property
    def plan(self) -> LearningPlan:
        """How it learns."""
        return LearningPlan(
            self.learning, self.augmentation, self.seed, self.report_to, self.teaching.unlabelled_epochs
        )

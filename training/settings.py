"""What a run of fitting is told; the defaults are those with which the released model was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

SERVED: Final = ("ru_go_emotions", "goemotions")
"""Sets that teach the served output head: one annotation, in two languages."""

NATIVE: Final = ("cedr", "brighter")
"""Sets of native Russian, which teach the served head too, at `FitSettings.native_weight`."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How to fit.

    Attributes:
        data: folders or hub names of the sets.
        base: folder or hub name of the encoder.
        base_name: what to call the encoder in the manifest; None takes `base`.
        output: the bundle's folder, which must not exist yet.
        epochs: passes over the translated rows of the served head.
        side_epochs: passes over every other set.
        folds: parts of the cross-lingual teaching; 0 fits on the labels alone.
        teacher_epochs: passes of each teacher over its English rows.
        learning_rate: of the uppermost layer; see `fine_tune.optimizer`.
        batch_size: rows a step.
        max_tokens: longer texts are cut.
        spoken: share of the Russian rows seen in ASR form.
        native_weight: weight of native labels on the served head, where their own heads have 1.
        seed: of weights, order and forms.
    """

    data: Annotated[tuple[str, ...], Parameter(consume_multiple=True)]
    base: str
    output: Path
    base_name: str | None = None
    epochs: int = 8
    side_epochs: int = 3
    folds: int = 4
    teacher_epochs: int = 4
    learning_rate: Annotated[float, Parameter(alias="--lr")] = 2e-4
    batch_size: int = 128
    max_tokens: int = 64
    spoken: float = 0.75
    native_weight: float = 0.5
    seed: int = 0

"""What a run of fitting is told; the defaults are those with which the released model was made.

Each field is what it is for a reason that docs/experiments.md gives with figures.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from training.examples import UNLABELLED

SERVED: Final = ("ru_go_emotions", "goemotions")
"""Sets that teach the served output head with all their weight: one annotation, in two languages."""

RU_EN: Final = "Helsinki-NLP/opus-mt-ru-en"
EN_RU: Final = "Helsinki-NLP/opus-mt-en-ru"

OTHER: Final = "other"
"""Stands for every set that a table does not name."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Some = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]


_EPOCHS: Final = {"ru_go_emotions": 10, "goemotions": 3, "cedr": 6, "brighter": 8, OTHER: 3}
_SERVED_WEIGHT: Final = {"cedr": 0.15, "brighter": 0.15, "ru_izard_emotions": 0.0, "xed": 0.0, OTHER: 1.0}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Part):
    """What stands between the encoder's tokens and the logits; see `networks`.

    Attributes:
        pooling: how a text's tokens become one vector: `encoder` leaves that and the head to the encoder's own
            classifier in transformers, which any tool opens. cls takes the first token's, mean the mean, max the
            largest of each channel, attention a mean with learned weights; such a bundle needs `import networks`
            first, or an export to ONNX.
        head_layers: linear layers of the head, where pooling is not the encoder's.
        head_width: outputs of each but the last; None takes the encoder's.
        head_dropout: before each of them; None keeps the encoder's own, which is 0.1 where pooling is not.
    """

    pooling: Literal["encoder", "cls", "mean", "max", "attention"] = "encoder"
    head_layers: Some = 1
    head_width: Some | None = None
    head_dropout: Share | None = None

    @model_validator(mode="after")
    def _of_ours(self) -> Self:
        if self.pooling == "encoder" and (self.head_layers > 1 or self.head_width):
            raise PydanticCustomError(
                "not_ours",
                "head_layers and head_width shape a head of ours, and pooling=encoder takes the encoder's own: set "
                "pooling to cls, mean, max or attention too",
            )
        return self


class Learning(_Part):
    """How a network learns.

    Attributes:
        epochs: passes over each set; `other` stands for those that are not named. What is given comes on top.
        served_weight: what a set's labels weigh on the served head, where its own head has 1; the same holds.
        learning_rate: of the uppermost pretrained layer, at its highest.
        batch_size: rows a step, over all GPUs.
        max_tokens: longer texts are cut.
        optimizer: any of transformers' names, such as adamw_torch or adafactor.
        schedule: any of transformers' names, such as linear or cosine.
        warm_up: share of the steps in which the rate rises.
        weight_decay: of everything but biases and norms.
        layer_decay: each layer learns at this fraction of the rate of the one above it.
        head_rate: the new layers on top learn this many times faster than the uppermost pretrained one.
        loss: binary cross-entropy, or one that makes little of what is easy: focal, asymmetric.
        class_weights: balanced weighs a rare emotion's positives up.
        word_dropout: share of the tokens that are hidden, drawn anew for each pass.
        fine_weight: what GoEmotions' 28 labels weigh, on a head of their own that is not kept; 0 for none.
        ema: decay a step, at its highest, of an average of the weights, which is then what is kept; 0 for none.
        cuda_graphs: on a GPU, start a step's passes as one, where the encoder is known to allow it.
        torch_compile: compile the network first in place of that, which takes a minute or two.
    """

    epochs: Mapping[str, Count] = _EPOCHS
    served_weight: Mapping[str, Share] = _SERVED_WEIGHT
    learning_rate: Positive = 2e-4
    batch_size: Some = 128
    max_tokens: Annotated[int, Field(ge=8)] = 64
    optimizer: str = "adamw_torch"
    schedule: str = "linear"
    warm_up: Share = 0.06
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    head_rate: Positive = 5.0
    loss: Literal["bce", "focal", "asymmetric"] = "bce"
    class_weights: Literal["none", "balanced"] = "none"
    word_dropout: Share = 0.0
    fine_weight: Annotated[float, Field(ge=0)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    cuda_graphs: bool = True
    torch_compile: bool = False

    @field_validator("epochs", "served_weight", mode="before")
    @classmethod
    def _on_top_of_defaults(cls, given: Any, field: ValidationInfo) -> Any:
        default: Mapping[str, float] = _EPOCHS if field.field_name == "epochs" else _SERVED_WEIGHT
        return {**default, **given} if isinstance(given, Mapping) else given

    def passes(self, source: str) -> int:
        """Return how often a set is seen."""
        return self.epochs.get(source, self.epochs[OTHER])

    def weight(self, source: str) -> float:
        """Return what a set's labels weigh on the served head."""
        return self.served_weight.get(source, self.served_weight[OTHER])

    def of_one_convention(self, sources: Iterable[str]) -> Self:
        """Return the same, where of these sets those alone count on the served head that count the most there."""
        weights = {source: self.weight(source) for source in sources}
        most = max(weights.values())
        plain = {source: weight if weight == most else 0.0 for source, weight in weights.items()}
        return self.model_copy(update={"served_weight": {**self.served_weight, **plain}})


class Teaching(_Part):
    """How networks teach the one that is kept; see `training.distillation`.

    Attributes:
        folds: parts of the parallel text; a teacher for each, which did not see it. 0 fits on the labels alone.
        seeds: teachers a fold, of each encoder.
        bases: encoders of more teachers, by hub name or folder; they learn from the originals alone.
        network: pooling and head of a teacher, which nobody serves.
        generations: of teachers; those of each but the first learn from the scores of the one before.
        epochs: passes of a teacher over all sets.
        learning_rate: of a teacher.
        batch_size: rows a step of a teacher.
        models: other teachers, by hub name or folder, that read the originals or, where there are none, the texts.
        temperature: of the teachers' scores; above 1 softens them.
        unlabelled: text files, or folders of them, that a first student labels for the one that is kept.
        unlabelled_lines: take no more of them; None takes all.
        first_passes: share of its passes that this first student makes.
        unlabelled_epochs: passes over those lines.
        unlabelled_weight: what they weigh.
        side_by_side: teachers fitted at the same time; None asks the machine.
    """

    folds: Count = 4
    seeds: Some = 2
    bases: tuple[str, ...] = ()
    network: Network = Network(pooling="mean")
    generations: Some = 1
    epochs: Some = 4
    learning_rate: Positive = 2e-4
    batch_size: Some = 128
    models: tuple[str, ...] = ()
    temperature: Positive = 1.0
    unlabelled: tuple[str, ...] = ()
    unlabelled_lines: Some | None = None
    first_passes: Annotated[float, Field(gt=0, le=1)] = 1.0
    unlabelled_epochs: Some = 1
    unlabelled_weight: Share = 0.5
    side_by_side: Some | None = None


class Augmentation(_Part):
    """How Russian texts vary; each share is drawn anew for each pass over a row.

    Attributes:
        spoken: share of the rows seen in ASR form.
        noisy: share of those with recognition errors.
        word_error_rate: of the noisy ones.
        synonyms: share of those in ASR form with words replaced by synonyms.
        emoji: share of the written ones with an emoji that fits their emotion.
        back_translated: share of those in ASR form that went to English and back.
        back_translations: SQLite file that keeps them, for this run and for others.
        translators: MarianMT models, there and back.
        synthetic: rows to make from templates, by emotion.
    """

    spoken: Share = 0.75
    noisy: Share = 0.6
    word_error_rate: Share = 0.15
    synonyms: Share = 0.0
    emoji: Share = 0.0
    back_translated: Share = 0.0
    back_translations: Path = Path("back-translations.db")
    translators: tuple[str, str] = (RU_EN, EN_RU)
    synthetic: Mapping[str, Count] = {}


class Taken(_Part):
    """The labels of a retraining: what the next one must know of them, and reads in the bundle.

    Attributes:
        at: when they were taken from the table; what came in since is new.
        learnt_whole: sets that what the fit goes on from had learnt before their labels had sides: their rows would
            flatter all that comes of it.
    """

    at: datetime
    learnt_whole: tuple[str, ...] = ()


class FitSettings(_Part):
    """How to fit.

    Attributes:
        data: sets: folders, files or hub names.
        base: folder or hub name of the encoder.
        base_name: what to call the encoder in the manifest; None takes `base`.
        output: the bundle's folder, which must not exist yet.
        warm_start: go on from `base`, a bundle: its output layer is where every head begins, and its vocabulary stays.
        fewest_positives: validation rows that an emotion must have, or it keeps the threshold and the calibration of
            the bundle that a warm start goes on from.
        measured: the set whose validation rows choose thresholds and calibration.
        aim: what thresholds are chosen for: the best F1 of each emotion, or a precision.
        precision: the one that is wanted, where that is the aim.
        report_to: services that transformers' Trainer reports to, such as tensorboard.
        seed: of weights, order and forms.
        taken: when `data` was taken from the table of labels, and what may not judge: `retrain` says it in the recipe
            that it leaves, and the next one reads it in the bundle.
    """

    data: tuple[str, ...]
    base: str
    output: Path
    base_name: str | None = None
    warm_start: bool = False
    fewest_positives: Count = 50
    measured: str = "ru_go_emotions"
    aim: Literal["f1", "precision"] = "f1"
    precision: Share = 0.8
    report_to: tuple[str, ...] = ()
    seed: int = 0
    taken: Taken | None = None
    network: Network = Network()
    learning: Learning = Learning()
    teaching: Teaching = Teaching()
    augmentation: Augmentation = Augmentation()

    def passes(self, source: str) -> int:
        """Return how often a set, or the lines that a first student labelled, is seen."""
        return self.teaching.unlabelled_epochs if source == UNLABELLED else self.learning.passes(source)

"""How networks learn, teach and read; the defaults are those with which the released model was made.

Each field is what it is for a reason that docs/experiments.md gives with figures.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.bundle import Neutral
from training.data.examples import PUBLIC, UNLABELLED

SERVED: Final = ("ru_go_emotions", "goemotions")
"""Sets that the public convention is that of: one annotation, in two languages."""

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
_LABELS: Final = {OTHER: 0.5}
NEUTRAL: Final[dict[str, Neutral]] = {PUBLIC: "independent", OTHER: "exclusive"}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "epochs": _EPOCHS,
    "served_weight": _SERVED_WEIGHT,
    "labels": _LABELS,
    "neutral": NEUTRAL,
}


class SettingsPart(BaseModel):
    """A group of settings, of which one that is unknown is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator(*_DEFAULTS, mode="before", check_fields=False)
    @classmethod
    def _on_top_of_defaults(cls, given: Any, field: ValidationInfo) -> Any:
        return {**_DEFAULTS[field.field_name or ""], **given} if isinstance(given, Mapping) else given


class Network(SettingsPart):
    """What stands between the encoder's tokens and the logits; see `networks`."""

    pooling: Literal["encoder", "cls", "mean", "max"] = "encoder"
    """How a text's tokens become one vector: `encoder` leaves that and the head to the encoder's own classifier in
    transformers, which any tool opens. cls takes the first token's, mean the mean, max the largest of each channel;
    such a bundle needs `import registry.pooled_head` first, or an export to ONNX."""
    head_layers: Some = 1
    """Linear layers of the head, where pooling is not the encoder's."""
    head_width: Some | None = None
    """Outputs of each layer of the head but the last; None takes the encoder's."""
    head_dropout: Share | None = None
    """Dropout before each layer of the head; None keeps the encoder's own, which is 0.1 where pooling is not."""

    @model_validator(mode="after")
    def _of_ours(self) -> Self:
        if self.pooling == "encoder" and (self.head_layers > 1 or self.head_width):
            raise PydanticCustomError(
                "not_ours",
                "head_layers and head_width shape a head of ours, and pooling=encoder takes the encoder's own: set "
                "pooling to cls, mean or max too",
            )
        return self


class Learning(SettingsPart):
    """How a network learns."""

    epochs: Mapping[str, Count] = _EPOCHS
    """Passes over each set; `other` stands for those that are not named. What is given comes on top."""
    served_weight: Mapping[str, Share] = _SERVED_WEIGHT
    """What a set's labels weigh on the head of their convention; `other` stands for those not named."""
    own_weight: Annotated[float, Field(ge=0)] = 1.0
    """What a set's labels weigh on a head of the set's own, which is not kept; 0 for none."""
    learning_rate: Positive = 2e-4
    """Learning rate of the uppermost pretrained layer, at its highest."""
    batch_size: Some = 128
    """Rows a step, over all GPUs."""
    max_tokens: Annotated[int, Field(ge=8)] = 64
    """Longer texts are cut."""
    optimizer: str = "adamw_torch"
    """Any of transformers' names, such as adamw_torch or adafactor."""
    schedule: str = "linear"
    """Any of transformers' names, such as linear or cosine."""
    warm_up: Share = 0.06
    """Share of the steps in which the rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of everything but biases and norms."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Each layer learns at this fraction of the rate of the one above it."""
    head_rate: Positive = 5.0
    """The new layers on top learn this many times faster than the uppermost pretrained one."""
    loss: Literal["bce", "focal", "asymmetric"] = "bce"
    """Binary cross-entropy, or one that makes little of what is easy: focal, asymmetric."""
    class_weights: Literal["none", "balanced"] = "none"
    """Balanced weighs a rare emotion's positives up."""
    word_dropout: Share = 0.0
    """Share of the tokens that are hidden, drawn again for each pass."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay a step, at its highest, of an average of the weights, which is then what is kept; 0 for none."""
    cuda_graphs: bool = True
    """On a GPU, start a step's passes as one, where the encoder is known to allow it."""

    def passes(self, source: str) -> int:
        """Return how often a set is seen."""
        return self.epochs.get(source, self.epochs[OTHER])

    def weight(self, source: str) -> float:
        """Return what a set's labels weigh on the head of their convention."""
        return self.served_weight.get(source, self.served_weight[OTHER])

    def of_one_convention(self, sources: Iterable[str]) -> Self:
        """Return the same, where of these sets those alone count on the served head that count the most there."""
        weights = {source: self.weight(source) for source in sources}
        most = max(weights.values())
        plain = {source: weight if weight == most else 0.0 for source, weight in weights.items()}
        return self.model_copy(update={"served_weight": {**self.served_weight, **plain}})


class Teaching(SettingsPart):
    """How networks teach the one that is kept; see `training.distill.targets`."""

    folds: Count = 4
    """Parts of the parallel text; a teacher for each, which did not see it. 0 fits on the labels alone."""
    seeds: Some = 2
    """Teachers a fold, of each encoder."""
    bases: tuple[str, ...] = ()
    """Encoders of more teachers, by hub name or folder; they learn from the originals alone."""
    network: Network = Network(pooling="mean")
    """Pooling and head of a teacher, which nobody serves."""
    epochs: Some = 4
    """Passes of a teacher over all sets."""
    learning_rate: Positive = 2e-4
    """Learning rate of a teacher."""
    batch_size: Some = 128
    """Rows a step of a teacher."""
    temperature: Positive = 1.0
    """Temperature of the teachers' scores; above 1 softens them."""
    parallel: tuple[str, ...] = ()
    """Tables with the columns text and translation and without labels, which teachers score."""
    bundle: str | None = None
    """Folder of a bundle whose scores are targets of Russian texts, in the conventions that it knows."""
    labels: Mapping[str, Share] = _LABELS
    """Share of the labels, or of what teachers said in their place, in the targets of a set that the bundle scores;
    `other` stands for those that are not named."""
    unlabelled: tuple[str, ...] = ()
    """Text files, or folders of them, that a first student labels for the one that is kept."""
    unlabelled_lines: Some | None = None
    """Most lines taken from these files; None takes all."""
    first_passes: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of its passes that this first student makes."""
    unlabelled_epochs: Some = 1
    """Passes over those lines."""
    unlabelled_weight: Share = 0.5
    """Weight of those lines."""
    side_by_side: Some | None = None
    """Teachers fitted at the same time; None asks the machine."""

    @model_validator(mode="after")
    def _has_readers(self) -> Self:
        if self.parallel and not self.folds:
            raise PydanticCustomError(
                "no_readers", "parallel text is scored by teachers, and there are none: set folds too"
            )
        return self

    def share_of_labels(self, source: str) -> float:
        """Return the share of the labels in a set's targets, where the bundle scores it."""
        return self.labels.get(source, self.labels[OTHER])


class Augmentation(SettingsPart):
    """How Russian texts vary; each share is drawn again for each pass over a row."""

    spoken: Share = 0.75
    """Share of the rows seen in ASR form."""
    noisy: Share = 0.6
    """Share of the rows in ASR form that have recognition errors."""
    word_error_rate: Share = 0.15
    """Share of words with an error in the rows that have recognition errors."""
    synonyms: Share = 0.0
    """Share of the rows in ASR form with words replaced by synonyms."""
    emoji: Share = 0.0
    """Share of the rows as written with an emoji that fits their emotion."""
    back_translated: Share = 0.0
    """Share of the rows in ASR form that went to English and back."""
    back_translations: Path = Path("back-translations.db")
    """SQLite file that keeps back-translations, for this run and for others."""
    translators: tuple[str, str] = (RU_EN, EN_RU)
    """MarianMT models, there and back."""
    synthetic: Mapping[str, Count] = {}
    """Rows to make from templates, by emotion."""


class NetworkStart(NamedTuple):
    """The network before it learns.

    Attributes:
        base: folder or hub name of an encoder, or a bundle's folder for a warm start.
        network: pooling and head of a new network.
        layers: number of the encoder's first layers to keep; None keeps all.
        warm: whether learning continues from a bundle: its heads and its vocabulary stay.
    """

    base: str
    network: Network = Network()
    layers: int | None = None
    warm: bool = False


class LearningPlan(NamedTuple):
    """How the networks of a run learn, and the forms in which they see texts.

    Attributes:
        learning: passes, weights, rates and losses.
        augmentation: forms of Russian texts.
        seed: random seed for initial weights, row order and augmentation.
        report_to: services that receive the training log.
        unlabelled_epochs: passes over pseudo-labelled lines.
    """

    learning: Learning
    augmentation: Augmentation
    seed: int = 0
    report_to: tuple[str, ...] = ()
    unlabelled_epochs: int = 1

    def passes(self, source: str) -> int:
        """Return the number of passes over a set, or over the pseudo-labelled lines."""
        return self.unlabelled_epochs if source == UNLABELLED else self.learning.passes(source)

"""What a run of fitting is told; the defaults are those with which the released model was made.

Each field is what it is for a reason that docs/experiments.md gives with figures.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.bundle import Neutral
from training.data.examples import CALLS, PUBLIC, UNLABELLED

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
_NEUTRAL: Final[dict[str, Neutral]] = {PUBLIC: "independent", OTHER: "exclusive"}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "epochs": _EPOCHS,
    "served_weight": _SERVED_WEIGHT,
    "labels": _LABELS,
    "neutral": _NEUTRAL,
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator(*_DEFAULTS, mode="before", check_fields=False)
    @classmethod
    def _on_top_of_defaults(cls, given: Any, field: ValidationInfo) -> Any:
        return {**_DEFAULTS[field.field_name or ""], **given} if isinstance(given, Mapping) else given


class Network(_Part):
    """What stands between the encoder's tokens and the logits; see `networks`.

    Attributes:
        pooling: how a text's tokens become one vector: `encoder` leaves that and the head to the encoder's own
            classifier in transformers, which any tool opens. cls takes the first token's, mean the mean, max the
            largest of each channel; such a bundle needs `import registry.pooled_head` first, or an export to ONNX.
        head_layers: linear layers of the head, where pooling is not the encoder's.
        head_width: outputs of each but the last; None takes the encoder's.
        head_dropout: before each of them; None keeps the encoder's own, which is 0.1 where pooling is not.
    """

    pooling: Literal["encoder", "cls", "mean", "max"] = "encoder"
    head_layers: Some = 1
    head_width: Some | None = None
    head_dropout: Share | None = None

    @model_validator(mode="after")
    def _of_ours(self) -> Self:
        if self.pooling == "encoder" and (self.head_layers > 1 or self.head_width):
            raise PydanticCustomError(
                "not_ours",
                "head_layers and head_width shape a head of ours, and pooling=encoder takes the encoder's own: set "
                "pooling to cls, mean or max too",
            )
        return self


class Learning(_Part):
    """How a network learns.

    Attributes:
        epochs: passes over each set; `other` stands for those that are not named. What is given comes on top.
        served_weight: what a set's labels weigh on the head of their convention; `other` stands for those not named.
        own_weight: what they weigh on a head of the set's own, which is not kept; 0 for none.
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
        ema: decay a step, at its highest, of an average of the weights, which is then what is kept; 0 for none.
        cuda_graphs: on a GPU, start a step's passes as one, where the encoder is known to allow it.
    """

    epochs: Mapping[str, Count] = _EPOCHS
    served_weight: Mapping[str, Share] = _SERVED_WEIGHT
    own_weight: Annotated[float, Field(ge=0)] = 1.0
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
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    cuda_graphs: bool = True

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


class Teaching(_Part):
    """How networks teach the one that is kept; see `training.distill.targets`.

    Attributes:
        folds: parts of the parallel text; a teacher for each, which did not see it. 0 fits on the labels alone.
        seeds: teachers a fold, of each encoder.
        bases: encoders of more teachers, by hub name or folder; they learn from the originals alone.
        network: pooling and head of a teacher, which nobody serves.
        epochs: passes of a teacher over all sets.
        learning_rate: of a teacher.
        batch_size: rows a step of a teacher.
        temperature: of the teachers' scores; above 1 softens them.
        parallel: tables with the columns text and translation and without labels, which teachers score.
        bundle: folder of a bundle whose scores are targets of Russian texts, in the conventions that it knows.
        labels: share of the labels, or of what teachers said in their place, in the targets of a set that the bundle
            scores; `other` stands for those that are not named.
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
    epochs: Some = 4
    learning_rate: Positive = 2e-4
    batch_size: Some = 128
    temperature: Positive = 1.0
    parallel: tuple[str, ...] = ()
    bundle: str | None = None
    labels: Mapping[str, Share] = _LABELS
    unlabelled: tuple[str, ...] = ()
    unlabelled_lines: Some | None = None
    first_passes: Annotated[float, Field(gt=0, le=1)] = 1.0
    unlabelled_epochs: Some = 1
    unlabelled_weight: Share = 0.5
    side_by_side: Some | None = None

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
        layers: how many of the encoder's first layers to keep; None keeps all.
        convention: of the labels in tables of one's own. Where data follow several conventions, this one is served by
            default.
        neutral: whether neutral is assigned exactly where no other emotion is (exclusive), or by a threshold of its own
            (independent), in each convention; `other` stands for those that are not named.
        measured: sets whose validation rows choose thresholds and calibration, the first there is of each convention;
            tables of your own come after them. A convention without one is learnt along, and is not kept.
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
    layers: Some | None = None
    convention: Annotated[str, Field(pattern="^[a-z]+$", max_length=40)] = CALLS
    neutral: Mapping[str, Neutral] = _NEUTRAL
    measured: tuple[str, ...] = ("ru_calls", "ru_go_emotions")
    aim: Literal["f1", "precision"] = "f1"
    precision: Share = 0.8
    report_to: tuple[str, ...] = ()
    seed: int = 0
    taken: Taken | None = None
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
    def start(self) -> "NetworkStart":
        """The network before it learns."""
        return NetworkStart(self.base, self.network, self.layers, self.warm_start)

    @property
    def plan(self) -> "LearningPlan":
        """How it learns."""
        return LearningPlan(
            self.learning, self.augmentation, self.seed, self.report_to, self.teaching.unlabelled_epochs
        )

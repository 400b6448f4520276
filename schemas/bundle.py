"""The manifest of a model bundle: what turns an ordinary Hugging Face folder into one the worker serves."""

import re
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.emotions import EMOTIONS
from schemas.errors import UserError
from schemas.languages import RUSSIAN
from schemas.normalization import NORMALIZER

MANIFEST: Final = "manifest.json"
"""Written last: a folder that holds it is complete."""

CONFIG: Final = "config.json"
"""The model's architecture, as transformers writes it."""

ONNX: Final = "model.onnx"
"""The same model for ONNX Runtime, where it was exported."""

ONNX_INT8: Final = "model.int8.onnx"
"""The same with weights of eight bits."""

CARD: Final = "README.md"
"""The model card, for people."""

WEIGHTS: Final = "model.safetensors"
WEIGHTS_INDEX: Final = "model.safetensors.index.json"
"""Which file holds which weights, where they lie in several."""

TOKENIZER: Final = "tokenizer.json"

KNOWN_TEXTS: Final = "known-texts.u32"
"""Hashes of the texts that the model has learnt; see `training.data.known_texts`. It is never published."""

_FIVE_DIGITS: Final = "[0-9]" * 5

FILES: Final = (
    CARD,
    CONFIG,
    MANIFEST,
    WEIGHTS,
    f"model-{_FIVE_DIGITS}-of-{_FIVE_DIGITS}.safetensors",
    WEIGHTS_INDEX,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    ONNX,
    ONNX_INT8,
    f"{ONNX}.data",
    f"{ONNX_INT8}.data",
    KNOWN_TEXTS,
)
"""What a bundle consists of, as patterns of file names: only these are written, copied and fetched.

Reports, logs and tables quote what people said, so none of them is a bundle's file.
"""

PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
"""How the names of files end that may run code when they are opened."""

VERSION: Final = r"\A[A-Za-z0-9_-][A-Za-z0-9._-]*\Z"
"""Pattern of a version: it names a folder in stores and caches, so it must be one plain segment of a path."""

_LONGEST_VERSION: Final = 128
_LONGEST_NAME: Final = 80

ONNX_VERSION: Final = "bundle_version"
"""Metadata of an ONNX file: the version of the bundle that it was made from."""

OURS: Final = "asr-emotions-"
"""What the model types in config.json begin with that transformers do not know without `networks`."""

POOLED: Final = f"{OURS}pooled"
"""Model type of `registry.pooled_head`; a change that this version could not compute needs another name."""


def is_bundle_file(name: str) -> bool:
    """Whether a file of that name is one of a bundle's."""
    return any(fnmatchcase(name, pattern) for pattern in FILES)


class UnusableBundle(UserError):
    """A bundle that this version must not serve; the message says why and what to do."""


class Calibration(Struct, frozen=True):
    """Platt scaling of one label: the probability is sigmoid(scale * logit + bias).

    Source: Platt (1999), Probabilistic outputs for support vector machines.
    """

    scale: float = 1.0
    bias: float = 0.0


Neutral = Literal["exclusive", "independent"]
"""Whether neutral is what is left where no emotion is, or has a threshold like the others; see `schemas.decisions`."""

Threshold = Annotated[float, Meta(ge=0, le=1)]
Convention = Annotated[str, Meta(pattern=r"\A[a-z]+\Z", max_length=40)]


class Tuning(Struct, frozen=True, kw_only=True):
    """How the outputs of one convention become emotions."""

    thresholds: dict[str, Threshold]
    calibration: dict[str, Calibration]
    neutral: Neutral = "independent"


class Manifest(Struct, frozen=True, kw_only=True):
    """What the worker must know of a model beyond its weights.

    A model may follow several conventions of labels, with seven outputs for each. What stands here is the default
    one's, whose outputs come first; `others` follow in their order.
    """

    version: Annotated[str, Meta(pattern=VERSION, max_length=_LONGEST_VERSION)]
    labels: tuple[str, ...]
    thresholds: dict[str, Threshold]
    calibration: dict[str, Calibration]
    normalizer: str
    base_model: str
    data_fingerprint: str
    metrics: dict[str, Any]
    created_at: str
    max_tokens: Annotated[int, Meta(ge=8, le=8192)] = 128
    language: Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")] = RUSSIAN
    convention: Convention = "public"
    neutral: Neutral = "independent"
    others: dict[Convention, Tuning] = {}

    @property
    def tunings(self) -> dict[str, Tuning]:
        """The tuning of each convention, in the order of the outputs, the default one first."""
        first = Tuning(thresholds=self.thresholds, calibration=self.calibration, neutral=self.neutral)
        return {self.convention: first, **self.others}

    @property
    def outputs(self) -> list[str]:
        """The names of the model's outputs: of further conventions with their name before, as in `public:anger`."""
        named = [f"{convention}:{emotion}" for convention in self.others for emotion in EMOTIONS]
        return [*EMOTIONS, *named]

    def tuning(self, convention: str | None = None) -> Tuning:
        """Return the tuning of a convention; None stands for the default one.

        Raises:
            UnusableBundle: the bundle does not know it.
        """
        name, tunings = convention or self.convention, self.tunings
        if name not in tunings:
            raise UnusableBundle(
                f"the model {self.version} knows no convention {name!r}: name one of {', '.join(tunings)}, or none "
                f"for {self.convention}"
            )
        return tunings[name]

    def columns(self, convention: str | None = None) -> slice:
        """Return which of the model's outputs are those of a convention; None stands for the default one.

        Raises:
            UnusableBundle: the bundle does not know it.
        """
        self.tuning(convention)
        at = len(EMOTIONS) * list(self.tunings).index(convention or self.convention)
        return slice(at, at + len(EMOTIONS))

    def encode(self) -> bytes:
        """Return the manifest as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def version_of(name: str, made: datetime) -> str:
    """Return the version of a bundle of that name, made at that time; what no version may hold becomes a dash."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")[:_LONGEST_NAME]
    return f"{plain or 'model'}-{made:%Y%m%d%H%M%S}"


def made_at(manifest: Manifest) -> datetime:
    """Return when a bundle was made, in UTC where its manifest names no zone.

    Raises:
        UnusableBundle: the manifest does not say.
    """
    try:
        moment = datetime.fromisoformat(manifest.created_at)
    except ValueError as error:
        raise UnusableBundle(f"created_at is no time ({error}). Export the bundle again") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_manifest(content: bytes) -> Manifest:
    """Decode a manifest and make sure that this version of the code can serve its bundle.

    Raises:
        UnusableBundle: it is no manifest, or its labels, thresholds, calibration or normalizer are not ours.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnusableBundle(f"{MANIFEST} cannot be read: {error}. Export the bundle again.") from error
    if manifest.labels != EMOTIONS:
        raise UnusableBundle(
            f"the bundle's labels are {', '.join(manifest.labels)}, the worker's are {', '.join(EMOTIONS)}. "
            "Fit a model on these seven emotions with `emotion-training fit`."
        )
    if manifest.convention in manifest.others:
        raise UnusableBundle(f"{MANIFEST} holds the convention {manifest.convention} twice. Export the bundle again.")
    for tuning in manifest.tunings.values():
        for what, named in (("calibrates", tuning.calibration), ("has thresholds of", tuning.thresholds)):
            if set(named) != set(EMOTIONS):
                raise UnusableBundle(
                    f"{MANIFEST} {what} {', '.join(named) or 'nothing'}, and the labels are {', '.join(EMOTIONS)}. "
                    "Export the bundle again."
                )
    if manifest.normalizer != NORMALIZER:
        raise UnusableBundle(
            f"the bundle was trained on text of normalizer {manifest.normalizer}, this version has {NORMALIZER}. "
            "Run the version that made the bundle, or fit the model again."
        )
    return manifest

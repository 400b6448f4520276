"""The manifest of a model bundle: what turns an ordinary Hugging Face folder into one the worker serves."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER

MANIFEST: Final = "manifest.json"
"""Written last: a folder that holds it is complete."""

CONFIG: Final = "config.json"
"""The model's architecture, as transformers writes it."""

ONNX: Final = "model.onnx"
"""The same model for ONNX Runtime, where it was exported."""

ONNX_INT8: Final = "model.int8.onnx"
"""The same with weights of eight bits."""

ONNX_VERSION: Final = "bundle_version"
"""Metadata of an ONNX file: the version of the bundle that it was made from."""

OURS: Final = "asr-emotions-"
"""What the model types in config.json begin with that transformers do not know without `networks`."""

POOLED: Final = f"{OURS}pooled"
"""Model type of `networks.pooled`; a change that this version could not compute needs another name."""


class UnusableBundle(ValueError):
    """A bundle that this version must not serve; the message says why and what to do."""


class Calibration(Struct, frozen=True):
    """Platt scaling of one label: the probability is sigmoid(scale * logit + bias).

    Source: Platt (1999), Probabilistic outputs for support vector machines.
    """

    scale: float = 1.0
    bias: float = 0.0


class Manifest(Struct, frozen=True, kw_only=True):
    """What the worker must know of a model beyond its weights."""

    version: Annotated[str, Meta(min_length=1, max_length=128)]
    labels: tuple[str, ...]
    thresholds: dict[str, Annotated[float, Meta(ge=0, le=1)]]
    calibration: dict[str, Calibration]
    normalizer: str
    base_model: str
    data_fingerprint: str
    metrics: dict[str, Any]
    created_at: str
    max_tokens: Annotated[int, Meta(ge=8, le=8192)] = 128

    def encode(self) -> bytes:
        """Return the manifest as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def made_at(manifest: Manifest) -> datetime:
    """Return when a bundle was made, in UTC where its manifest names no zone.

    Raises:
        UnusableBundle: the manifest does not say.
    """
    try:
        moment = datetime.fromisoformat(manifest.created_at)
    except ValueError as error:
        raise UnusableBundle(f"created_at is no time ({error}). Export the bundle anew") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Config(Struct, frozen=True):
    """What the worker must know of config.json; transformers reads the rest."""

    model_type: str = ""
    id2label: dict[int, str] = {}
    num_labels: int | None = None
    pad_token_id: int | None = None


def read_manifest(content: bytes) -> Manifest:
    """Decode a manifest and make sure that this version of the code can serve its bundle.

    Raises:
        UnusableBundle: it is no manifest, or its labels, its calibration or its normalizer are not ours.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise UnusableBundle(f"{MANIFEST} cannot be read: {error}. Export the bundle anew.") from error
    if manifest.labels != EMOTIONS or set(manifest.thresholds) != set(EMOTIONS):
        raise UnusableBundle(
            f"the bundle's labels are {', '.join(manifest.labels)}, the worker's are {', '.join(EMOTIONS)}. "
            "Fit a model on these seven emotions with `emotion-training fit`."
        )
    if set(manifest.calibration) != set(EMOTIONS):
        raise UnusableBundle(
            f"{MANIFEST} calibrates {', '.join(manifest.calibration) or 'nothing'}, and the labels are "
            f"{', '.join(EMOTIONS)}. Export the bundle anew."
        )
    if manifest.normalizer != NORMALIZER:
        raise UnusableBundle(
            f"the bundle was trained on text of normalizer {manifest.normalizer}, this version has {NORMALIZER}. "
            "Run the version that made the bundle, or fit the model anew."
        )
    return manifest


def read_config(content: bytes) -> Config:
    """Decode the model's configuration and make sure that its outputs are the emotions, in their order.

    Raises:
        UnusableBundle: it is no configuration, its network is one of a later version, or scores would get the names of
            other emotions.
    """
    try:
        config = msgspec.json.decode(content, type=Config)
    except msgspec.MsgspecError as error:
        raise UnusableBundle(f"{CONFIG} cannot be read: {error}. Export the bundle anew.") from error
    if config.model_type.startswith(OURS) and config.model_type != POOLED:
        raise UnusableBundle(
            f"the bundle's network is {config.model_type}, this version knows {POOLED}. Run the version that made it."
        )
    if config.id2label != dict(enumerate(EMOTIONS)) or config.num_labels not in {None, len(EMOTIONS)}:
        named = ", ".join(label for _, label in sorted(config.id2label.items()))
        raise UnusableBundle(
            f"{CONFIG} names the model's outputs {named or 'nothing'} (id2label), {MANIFEST} names them "
            f"{', '.join(EMOTIONS)}. One of the two is not this model's: export the bundle anew."
        )
    return config

"""The files that transformers write into a bundle: they must belong to the model that the manifest describes."""

from typing import Any

import msgspec
from msgspec import Struct

from schemas.bundle import (
    CONFIG,
    MANIFEST,
    OURS,
    POOLED,
    WEIGHTS,
    WEIGHTS_INDEX,
    Manifest,
    UnusableBundle,
    is_bundle_file,
)


class Config(Struct, frozen=True):
    """What the worker must know of config.json; transformers reads the rest."""

    model_type: str = ""
    id2label: dict[int, str] = {}
    num_labels: int | None = None
    pad_token_id: int | None = None
    transformers_weights: Any = None
    """Another file that transformers would take the weights from."""


class _Index(Struct, frozen=True):
    weight_map: dict[str, str]


def read_config(content: bytes, manifest: Manifest) -> Config:
    """Decode the model's configuration and make sure that its outputs are those of the manifest, in its order.

    Args:
        content: of config.json.
        manifest: its bundle's manifest.

    Raises:
        UnusableBundle: it is no configuration, its network is one of a later version, or scores would get the names of
            other emotions.
    """
    try:
        config = msgspec.json.decode(content, type=Config)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnusableBundle(f"{CONFIG} cannot be read: {error}. Export the bundle again.") from error
    if config.transformers_weights is not None:
        raise UnusableBundle(
            f"{CONFIG} names a file of weights (transformers_weights); a bundle's are in {WEIGHTS}. Export it again."
        )
    if config.model_type.startswith(OURS) and config.model_type != POOLED:
        raise UnusableBundle(
            f"the bundle's network is {config.model_type}, this version knows {POOLED}. Run the version that made it."
        )
    if config.id2label != dict(enumerate(manifest.outputs)) or config.num_labels not in {None, len(manifest.outputs)}:
        named = ", ".join(label for _, label in sorted(config.id2label.items()))
        raise UnusableBundle(
            f"{CONFIG} names the model's outputs {named or 'nothing'} (id2label), {MANIFEST} names them "
            f"{', '.join(manifest.outputs)}. One of the two is not this model's: export the bundle again."
        )
    return config


def read_index(content: bytes) -> set[str]:
    """Return the names of the files that hold a bundle's weights, from the index of them.

    Raises:
        UnusableBundle: it is no index, or names a file that is none of a bundle's.
    """
    try:
        names = set(msgspec.json.decode(content, type=_Index).weight_map.values())
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UnusableBundle(f"{WEIGHTS_INDEX} cannot be read: {error}. Export the bundle again.") from error
    foreign = sorted(name for name in names if not (is_bundle_file(name) and name.endswith(".safetensors")))
    if foreign:
        raise UnusableBundle(
            f"{WEIGHTS_INDEX} names {foreign[0]!r}, which is no file of a bundle's weights. Export the bundle again."
        )
    return names

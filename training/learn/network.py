"""The network: a plain classifier of transformers or a pooled head of ours, with more columns than it will keep.

While it learns, the output layer has seven columns for each convention of labels and for each source of them, since
annotators of different sets mean different things by the same word. `keep_outputs` leaves those of conventions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel, AutoTokenizer, set_seed

from registry.contents import open_bundle
from registry.load import load_bundle
from registry.pooled_head import AutoModelForSequenceClassification, PooledConfig, PooledForSequenceClassification
from schemas.bundle import Calibration, Manifest
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel, first_line
from training.learn.batches import padded
from training.settings import Network, NetworkStart

_SCORED_TOGETHER: Final = 256
_THE_ENCODERS: Final = Network()
_MULTI_LABEL: Final = "multi_label_classification"
_DROPOUTS: Final = ("classifier_dropout", "seq_classif_dropout", "cls_dropout")
"""What encoders call the dropout before their output layer."""


def base_manifest(start: NetworkStart) -> Manifest | None:
    """Return the manifest of a warm start's bundle; None if the fit begins at an encoder."""
    return open_bundle(Path(start.base)).manifest if start.warm else None


def open_start(start: NetworkStart, conventions: Sequence[str], seed: int) -> tuple[Any, Any]:
    """Open the network before it learns, with seven outputs for each head.

    Args:
        start: Encoder or bundle.
        conventions: Convention of each head.
        seed: Random seed for new weights and dropout.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it cannot be opened, or has fewer layers.
    """
    if start.warm:
        return warm_start(Path(start.base), conventions, seed, start.layers)
    return open_base(start.base, len(EMOTIONS) * len(conventions), seed, start.network, start.layers)


def open_base(
    base: str, columns: int, seed: int, network: Network = _THE_ENCODERS, layers: int | None = None
) -> tuple[Any, Any]:
    """Open an encoder with a new output layer.

    Args:
        base: Folder or hub name of the encoder.
        columns: Number of outputs of the new layer.
        seed: Random seed for the weights of new layers.
        network: Pooling and head.
        layers: Number of the encoder's first layers to keep; None keeps all.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it cannot be opened, or has fewer layers.
    """
    set_seed(seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = _pooled(base, columns, network) if network.pooling != "encoder" else _plain(base, columns, network)
    except (OSError, ValueError) as error:
        raise _no_encoder(base, error) from error
    if tokenizer.pad_token_id is None:
        raise UnusableModel(f"{base}: its tokenizer has no token for padding. Take an encoder whose tokenizer has one")
    model.config.pad_token_id = tokenizer.pad_token_id
    if layers:
        keep_layers(model, layers)
    return model, tokenizer


def keep_layers(model: Any, count: int) -> None:
    """Cut the encoder, in place, to its first layers.

    Raises:
        UnusableModel: it has fewer, or they are not in one list.
    """
    config = model.config.get_text_config()
    depth = config.num_hidden_layers
    stacks = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == depth]
    if count > depth or not stacks:
        raise UnusableModel(f"layers={count}: the encoder has {depth} layers. Keep fewer, or take another encoder")
    del stacks[0][count:]
    config.num_hidden_layers = count


def require_base(base: str, setting: str) -> None:
    """Make sure that there is an encoder of that name.

    Raises:
        UnusableModel: there is none.
    """
    try:
        AutoConfig.from_pretrained(base)
        AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise _no_encoder(f"{setting}: {base}", error) from error


def _no_encoder(base: str, error: Exception) -> UnusableModel:
    return UnusableModel(
        f"{base} cannot be opened as an encoder ({first_line(error)}). Name a Hugging Face folder or hub "
        "repository with weights and tokenizer"
    )


def warm_start(folder: Path, conventions: Sequence[str], seed: int, layers: int | None = None) -> tuple[Any, Any]:
    """Open a bundle to go on from: its outputs, calibrated, are where the heads begin.

    Args:
        folder: Folder of the bundle.
        conventions: Convention of each head; one that the bundle does not know begins as its default one.
        seed: Random seed for dropout.
        layers: Number of the encoder's first layers to keep; None keeps all.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it is no bundle of this version.
    """
    set_seed(seed)
    model, tokenizer, manifest = load_bundle(folder)
    fold_calibration(model, [each.calibration[emotion] for each in manifest.tunings.values() for emotion in EMOTIONS])
    places = [manifest.columns(name if name in manifest.tunings else None) for name in conventions]
    _keep_rows(model, np.concatenate([np.arange(place.start, place.stop) for place in places]))
    model.config.num_labels = model.num_labels
    model.config.problem_type = _MULTI_LABEL
    if layers:
        keep_layers(model, layers)
    return model, tokenizer


def _plain(base: str, columns: int, network: Network) -> Any:
    config = AutoConfig.from_pretrained(base, num_labels=columns, problem_type=_MULTI_LABEL)
    for name in _DROPOUTS if network.head_dropout is not None else ():
        if hasattr(config, name):
            setattr(config, name, network.head_dropout)
    return AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)


def _pooled(base: str, columns: int, network: Network) -> Any:
    config = AutoConfig.from_pretrained(base)
    kind = AutoModelForSequenceClassification if isinstance(config, PooledConfig) else AutoModel
    encoder = kind.from_pretrained(base, dtype=torch.float32)
    if isinstance(config, PooledConfig):
        encoder = encoder.encoder
    given = network.model_dump(exclude_none=True)
    config = PooledConfig(encoder.config, num_labels=columns, problem_type=_MULTI_LABEL, **given)
    return PooledForSequenceClassification(config, encoder)


def output_layer(model: Any) -> torch.nn.Linear:
    """Return the layer that gives the logits."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == model.config.num_labels
    ]
    return layers[-1]


def keep_outputs(model: Any, named: Mapping[str, int]) -> None:
    """Cut the output layer, in place, to some of its columns, in this order and by these names."""
    _keep_rows(model, np.fromiter(named.values(), np.intp))
    model.config.id2label = dict(enumerate(named))
    model.config.label2id = {name: at for at, name in enumerate(named)}


@torch.no_grad()
def _keep_rows(model: Any, rows: NDArray[np.intp]) -> None:
    layer, at = output_layer(model), torch.from_numpy(rows)
    layer.weight = torch.nn.Parameter(layer.weight[at.to(layer.weight.device)].clone())
    if layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias[at.to(layer.bias.device)].clone())
    layer.out_features = model.num_labels = len(rows)


@torch.no_grad()
def fold_calibration(model: Any, calibration: list[Calibration]) -> None:
    """Move the calibration into the output layer, in place: from then on any tool's sigmoid is calibrated."""
    layer = output_layer(model)
    scale = torch.tensor([item.scale for item in calibration], device=layer.weight.device)
    bias = torch.tensor([item.bias for item in calibration], device=layer.weight.device)
    layer.weight.mul_(scale[:, None])
    if layer.bias is None:
        layer.bias = torch.nn.Parameter(bias)
    else:
        layer.bias.mul_(scale).add_(bias)


@torch.inference_mode()
def score(
    model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int, *, columns: int = len(EMOTIONS)
) -> NDArray[np.float32]:
    """Return the logits of the first columns, shape (len(texts), columns)."""
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    order = np.argsort([len(row) for row in ids], kind="stable")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.eval().to(device)
    logits = np.empty((len(ids), columns), np.float32)
    for start in range(0, len(ids), _SCORED_TOGETHER):
        batch = order[start : start + _SCORED_TOGETHER]
        tokens, mask = padded([ids[at] for at in batch], tokenizer.pad_token_id or 0)
        output = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
        logits[batch] = output[:, :columns].float().cpu().numpy()
    return logits

"""The network: a plain classifier of transformers or one of `networks`, with more columns than it will keep.

While it learns, the output layer has seven columns for each source of labels, since annotators of different sets mean
different things by the same word. `keep_served` leaves the first seven: an ordinary classifier of seven emotions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel, AutoTokenizer, set_seed

from networks import AutoModelForSequenceClassification, PooledConfig, PooledForSequenceClassification
from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.bundles import open_bundle
from training.errors import UnusableModel, first_line
from training.lessons import padded
from training.settings import Network

_SCORED_TOGETHER: Final = 256
_THE_ENCODERS: Final = Network()
_MULTI_LABEL: Final = "multi_label_classification"
_DROPOUTS: Final = ("classifier_dropout", "seq_classif_dropout", "cls_dropout")
"""What encoders call the dropout before their output layer."""


def open_base(base: str, columns: int, seed: int, network: Network = _THE_ENCODERS) -> tuple[Any, Any]:
    """Open an encoder with a new output layer.

    Args:
        base: folder or hub name.
        columns: outputs of the new layer.
        seed: of its weights.
        network: pooling and head.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it cannot be opened.
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
    return model, tokenizer


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


def warm_start(folder: Path, columns: int, seed: int) -> tuple[Any, Any]:
    """Open a bundle to go on from: its seven outputs, calibrated, are where each head begins.

    Args:
        folder: of the bundle.
        columns: outputs, seven a head.
        seed: of what is drawn while it learns.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it is no bundle of this version.
    """
    set_seed(seed)
    model, tokenizer, manifest = open_bundle(folder)
    fold_calibration(model, [manifest.calibration[emotion] for emotion in EMOTIONS])
    layer, heads = output_layer(model), columns // len(EMOTIONS)
    layer.weight = torch.nn.Parameter(layer.weight.detach().repeat(heads, 1))
    layer.bias = torch.nn.Parameter(layer.bias.detach().repeat(heads))
    layer.out_features = model.num_labels = model.config.num_labels = columns
    model.config.problem_type = _MULTI_LABEL
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


@torch.no_grad()
def keep_served(model: Any) -> None:
    """Cut the output layer, in place, to the served head's seven columns, and name them."""
    layer, seven = output_layer(model), len(EMOTIONS)
    layer.weight = torch.nn.Parameter(layer.weight[:seven].clone())
    if layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias[:seven].clone())
    layer.out_features = model.num_labels = seven
    model.config.id2label = dict(enumerate(EMOTIONS))
    model.config.label2id = {emotion: at for at, emotion in enumerate(EMOTIONS)}


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

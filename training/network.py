"""The network: plain `AutoModelForSequenceClassification`, with more columns while it learns than it will keep.

While it learns, the output layer has seven columns for each source of labels, since annotators of different sets mean
different things by the same word. `keep_served` leaves the first seven: an ordinary classifier of seven emotions.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel, first_line
from training.lessons import padded

_SCORED_TOGETHER: Final = 256
_DROPOUTS: Final = ("classifier_dropout", "seq_classif_dropout", "cls_dropout")
"""What encoders call the dropout before their output layer."""


def open_base(base: str, columns: int, seed: int, dropout: float | None = None) -> tuple[Any, Any]:
    """Open an encoder with a new output layer.

    Args:
        base: folder or hub name.
        columns: outputs of the new layer.
        seed: of its weights.
        dropout: before the output layer; None keeps the encoder's own.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it cannot be opened.
    """
    set_seed(seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        config = AutoConfig.from_pretrained(base, num_labels=columns, problem_type="multi_label_classification")
        for name in _DROPOUTS if dropout is not None else ():
            if hasattr(config, name):
                setattr(config, name, dropout)
        model = AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UnusableModel(
            f"{base} cannot be opened as an encoder ({first_line(error)}). Name a Hugging Face folder or hub "
            "repository with weights and tokenizer"
        ) from error
    if tokenizer.pad_token_id is None:
        raise UnusableModel(f"{base}: its tokenizer has no token for padding. Take an encoder whose tokenizer has one")
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


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

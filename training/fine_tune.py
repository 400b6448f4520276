"""An encoder learns to classify: plain `AutoModelForSequenceClassification`, fitted with transformers' Trainer.

While it learns, the output layer has seven columns for each source of labels, since annotators of different sets mean
different things by the same word. `keep_served` leaves the first seven: an ordinary classifier of seven emotions.
"""

import re
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import Sampler, SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    get_linear_schedule_with_warmup,
    set_seed,
)

from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel
from training.lessons import Curriculum, collate, padded
from training.settings import FitSettings

LAYER_DECAY: Final = 0.9
"""Each layer learns at this fraction of the rate of the one above it."""

HEAD_RATE: Final = 5.0
"""The new layers on top learn this many times faster than the uppermost pretrained one."""

WARM_UP: Final = 0.06
"""Share of the steps in which the rate rises; then it falls linearly to 0."""

_LAYER: Final = re.compile(r"\.(?:layer|layers|h|block)\.(\d+)\.")
_SCORED_TOGETHER: Final = 256


def open_base(base: str, columns: int, seed: int) -> tuple[Any, Any]:
    """Open an encoder with a new output layer.

    Args:
        base: folder or hub name.
        columns: outputs of the new layer.
        seed: of its weights.

    Returns:
        The model in float32, and its tokenizer.

    Raises:
        UnusableModel: it cannot be opened.
    """
    set_seed(seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=columns, problem_type="multi_label_classification", dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise UnusableModel(
            f"{base} cannot be opened as an encoder ({str(error).splitlines()[0]}). Name a Hugging Face folder or hub "
            "repository with weights and tokenizer"
        ) from error
    return model, tokenizer


def fit(model: Any, tokenizer: Any, curriculum: Curriculum, settings: FitSettings) -> None:
    """Fit the model in place: on a GPU in bfloat16 with float32 master weights, else in float32."""
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=settings.batch_size,
            num_train_epochs=1,
            bf16=cuda,
            use_cpu=not cuda,
            seed=settings.seed,
            dataloader_num_workers=4 if cuda else 0,
            remove_unused_columns=False,
            save_strategy="no",
            logging_steps=100,
            disable_tqdm=True,
            report_to="none",
        )
        steps = -(-len(curriculum) // settings.batch_size)
        adam = optimizer(model, settings.learning_rate)
        schedule = get_linear_schedule_with_warmup(adam, round(steps * WARM_UP), steps)  # type: ignore[no-untyped-call]
        trainer = _InOrder(
            model=model,
            args=arguments,
            train_dataset=curriculum,
            data_collator=partial(collate, tokenizer.pad_token_id or 0),
            compute_loss_func=loss,
            optimizers=(adam, schedule),
        )
        trainer.train()
        # Accelerate wraps forward in autocast, in place; scores are to be those of plain float32.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)


class _InOrder(Trainer):
    """A Trainer that keeps the curriculum's order."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Any = train_dataset or self.train_dataset
        return SequentialSampler(dataset)


def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ARG001 - Trainer's.
    """Return the weighted binary cross-entropy, mean over the rows.

    Args:
        outputs: of the model; logits, rows x columns.
        labels: rows x 2 x columns: targets, then weights.
        num_items_in_batch: given by the Trainer; means nothing here.
    """
    targets, weights = labels.unbind(1)
    losses = binary_cross_entropy_with_logits(outputs.logits.float(), targets, reduction="none")
    return (losses * weights).sum() / len(labels)


def optimizer(model: Any, learning_rate: float) -> torch.optim.AdamW:
    """Return AdamW with a rate that falls from the top layer down, and no decay of biases and norms.

    Source of the layer-wise decay: Howard and Ruder (2018), https://aclanthology.org/P18-1031.
    """
    depths = {name: _depth(name, model) for name, _ in model.named_parameters()}
    top = max((depth for depth in depths.values() if depth is not None), default=0)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = depths[name]
        rate = learning_rate * (HEAD_RATE if depth is None else LAYER_DECAY ** (top - depth))
        decay = 0.01 if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()],
        betas=(0.9, 0.98),
        eps=1e-6,
        fused=torch.cuda.is_available(),
    )


def _depth(name: str, model: Any) -> int | None:
    """Return a parameter's layer, 0 for the embeddings, None for what is new on top."""
    if not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name:
        return None
    layer = _LAYER.search(name)
    return int(layer[1]) + 1 if layer else 0


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
    layer.bias = torch.nn.Parameter(layer.bias[:seven].clone())
    layer.out_features = model.num_labels = seven
    model.config.id2label = dict(enumerate(EMOTIONS))
    model.config.label2id = {emotion: at for at, emotion in enumerate(EMOTIONS)}


@torch.no_grad()
def fold_calibration(model: Any, calibration: list[Calibration]) -> None:
    """Move the calibration into the output layer, in place: from then on any tool's sigmoid is calibrated."""
    layer = output_layer(model)
    scale = torch.tensor([item.scale for item in calibration], device=layer.weight.device)
    layer.weight.mul_(scale[:, None])
    layer.bias.mul_(scale).add_(torch.tensor([item.bias for item in calibration], device=layer.weight.device))


@torch.inference_mode()
def score(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> NDArray[np.float32]:
    """Return the logits of the first seven columns, shape (len(texts), 7)."""
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    order = np.argsort([len(row) for row in ids], kind="stable")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.eval().to(device)
    logits = np.empty((len(ids), len(EMOTIONS)), np.float32)
    for start in range(0, len(ids), _SCORED_TOGETHER):
        batch = order[start : start + _SCORED_TOGETHER]
        tokens, mask = padded([ids[at] for at in batch], tokenizer.pad_token_id or 0)
        output = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
        logits[batch] = output[:, : len(EMOTIONS)].float().cpu().numpy()
    return logits

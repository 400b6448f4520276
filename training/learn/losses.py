"""What a step makes smaller, over targets of which not all count alike."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

_FOCUS: Final = 2.0
"""Exponent of the focal loss; source: Lin et al. (2017), https://arxiv.org/abs/1708.02002."""

_FOCUS_NEGATIVE: Final = 4.0
_MARGIN: Final = 0.05
"""Of the asymmetric loss; source: Ridnik et al. (2021), https://arxiv.org/abs/2009.14119."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each entry."""
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy, less where the network is nearly right: by |target - probability| squared."""
    return (targets - logits.sigmoid()).abs() ** _FOCUS * cross_entropy(logits, targets)


def asymmetric(logits: Tensor, targets: Tensor) -> Tensor:
    """Return a cross-entropy that all but forgets negatives that are easy: those below a margin count nothing."""
    likely = (logits.sigmoid() - _MARGIN).clamp(min=0)
    negatives = likely**_FOCUS_NEGATIVE * -torch.log1p(-likely)
    return -targets * logsigmoid(logits) + (1 - targets) * negatives


_BY_NAME: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "bce": cross_entropy,
    "focal": focal,
    "asymmetric": asymmetric,
}


def loss_function(name: str, positives: Tensor | None = None) -> Callable[..., Tensor]:
    """Return the loss that the Trainer calls with outputs and labels.

    Args:
        name: bce, focal or asymmetric.
        positives: weight of each column's positives; None for 1.
    """
    return partial(_loss, _BY_NAME[name], positives)


def _loss(
    each: Callable[[Tensor, Tensor], Tensor],
    positives: Tensor | None,
    outputs: Any,
    labels: Tensor,
    num_items_in_batch: Any = None,  # noqa: ARG001 - the Trainer's, and means nothing here.
) -> Tensor:
    """Return the weighted loss, mean over the rows.

    Args:
        each: loss of each entry.
        positives: number of positive rows of each emotion.
        outputs: of the model; logits, rows x columns.
        labels: rows x 2 x columns: targets, then weights.
        num_items_in_batch: given by the Trainer.
    """
    targets, weights = labels.unbind(1)
    if positives is not None:
        weights = weights * (1 + targets * (positives.to(targets.device) - 1))
    return (each(outputs.logits.float(), targets) * weights).sum() / len(labels)

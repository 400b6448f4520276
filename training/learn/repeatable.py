"""The same seed, the same weights: a GPU adds some sums up as its threads finish, unless told to keep an order.

Source: PyTorch documentation, "Reproducibility" and `torch.use_deterministic_algorithms`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

# cuBLAS reads it when its handle is made, which is before a fit where another model has scored texts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

ORDERED: Final = frozenset({"bert", "deberta-v2", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta"})
"""Encoders for all of whose operations torch has an ordered way, under each pooling; tried on an H100, torch 2.11."""


@contextmanager
def repeatable(model: Any) -> Iterator[None]:
    """Let nothing of a fit depend on the order in which a GPU's threads finish.

    Attention's gradients do by default. Other encoders than `ORDERED` are left as they are: torch would stop at the
    first operation that has no ordered way.

    Args:
        model: that learns.
    """
    filling: Any = torch.utils.deterministic
    known = model.config.get_text_config().model_type in ORDERED
    before = torch.are_deterministic_algorithms_enabled(), filling.fill_uninitialized_memory
    if known and torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        filling.fill_uninitialized_memory = False  # It costs time, and nobody reads what nobody wrote.
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        filling.fill_uninitialized_memory = before[1]

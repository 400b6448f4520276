"""What the classifier asks of a program that runs the model's forward pass."""

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

CPU_TOKENS: Final = 2_048
"""Tokens of a micro-batch on a CPU, padding included, where the operator sets none."""


_NO_MEMORY: Final = re.compile(
    r"can't allocate memory|out of memory|not enough memory|ALLOC_FAILED|bad_alloc|Failed to allocate memory",
    re.IGNORECASE,
)
"""What torch's allocators, CUDA's libraries, the C++ library and ONNX Runtime say."""


class OutOfMemory(Exception):
    """The device has no memory for micro-batches of this size; the next one is smaller."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory, not the input, is at fault; on a CPU the libraries have no class of their own for it."""
    return isinstance(error, MemoryError) or bool(_NO_MEMORY.search(str(error)))


class Backend(Protocol):
    """A loaded model: inputs to logits."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a micro-batch, padding included, where the operator sets none."""
        ...

    def about(self) -> dict[str, Any]:
        """Return what the log should say of it."""
        ...

    def fit(self, max_tokens: int) -> None:
        """Get ready for micro-batches of a size; called before the first one and whenever the size changes.

        Raises:
            OutOfMemory: they are too large.
        """
        ...

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Round lengths up to the widths that micro-batches may have; same shape."""
        ...

    def __call__(self, batches: Iterable[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Run micro-batches.

        Args:
            batches: token ids and attention mask of each, shape (2, rows, width).

        Returns:
            Logits of all rows, in order, shape (rows of all batches, labels).

        Raises:
            OutOfMemory: they are too large.
            RejectedData: the model fails on something in them.
        """
        ...

"""Cut a chunk into micro-batches: what one forward pass takes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def plan(lengths: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[Any]]:
    """Cut texts into micro-batches of similar length, the longest first, so that little is padding.

    Args:
        lengths: tokens of each text, shape (n,).
        max_tokens: budget of a micro-batch, padding included; a longer text goes alone.

    Yields:
        Indices into ``lengths``; each index once over all batches.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        count = max(1, max_tokens // longest)
        yield order[start : start + count]
        start += count

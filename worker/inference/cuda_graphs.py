"""The forward pass as CUDA graphs: one launch in place of some three hundred.

Each operation that torch starts gives up Python's global lock and then waits for the threads that read and write to
let it back in. In a graph all operations of a micro-batch are started by one call.
"""

import functools
import threading
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

_WIDTHS: Final = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
"""Tokens of a row, padding included: a graph is of one shape, so lengths are rounded up to one of these."""

_CAPTURING: Final = threading.Lock()
"""Held while the stream below is used: several threads may load models while another serves."""


class Graphs:
    """A model on a GPU whose micro-batches all have one of a few shapes; used where that GPU is the current device.

    Args:
        model: ready to serve, on the GPU.
        max_tokens: tokens of a micro-batch, padding included.
        longest: tokens of the longest text.

    Raises:
        RuntimeError: the model does something that a graph cannot hold.
        torch.OutOfMemoryError: the GPU has no memory for batches of this size.
    """

    def __init__(self, model: Any, max_tokens: int, longest: int) -> None:
        self._model = model
        self._max_tokens = max_tokens
        self._widths = np.array([*(width for width in _WIDTHS if width < longest), longest], np.int64)
        # Graphs that never run at the same time can share their memory.
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = _stream(torch.cuda.current_device())
        self._captured: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}
        for width in map(int, self._widths):
            with _CAPTURING:
                self._captured[width] = self._capture(width)
        for width in self._captured:
            self._check(width)

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Round lengths up to the widths that there are graphs of; same shape."""
        rounded: NDArray[np.int64] = self._widths[np.searchsorted(self._widths, lengths)]
        return rounded

    def __call__(self, inputs: NDArray[np.int64]) -> torch.Tensor:
        """Run one micro-batch.

        Args:
            inputs: token ids and attention mask, shape (2, rows, width), of a width that there is a graph of.

        Returns:
            Logits, shape (rows, labels).
        """
        rows = inputs.shape[1]
        graph, place, logits = self._captured[inputs.shape[2]]
        # The rows below hold what an earlier micro-batch left there; what they give is not looked at.
        place[:, :rows].copy_(torch.from_numpy(inputs), non_blocking=True)
        graph.replay()
        return logits[:rows].clone()

    @torch.inference_mode()
    def _capture(self, width: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        rows = max(1, self._max_tokens // width)
        place = torch.ones((2, rows, width), dtype=torch.int64, device=self._model.device)
        # What a first pass sets up must not be recorded; source: PyTorch documentation, "CUDA semantics", CUDA Graphs.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._model(input_ids=place[0], attention_mask=place[1])
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Thread-local: what the thread of the serving model does meanwhile is no part of it, and no mistake.
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
            logits: torch.Tensor = self._model(input_ids=place[0], attention_mask=place[1]).logits
        return graph, place, logits

    @torch.inference_mode()
    def _check(self, width: int) -> None:
        """Compare a graph with the model itself, on rows of all lengths."""
        _, place, _ = self._captured[width]
        random = np.random.default_rng(0)
        tokens = random.integers(self._model.config.get_text_config().vocab_size, size=place.shape[1:])
        mask = np.arange(width) < random.integers(1, width + 1, size=(place.shape[1], 1))
        inputs = np.stack([tokens, mask.astype(np.int64)])
        replayed = self(inputs)
        ids, attended = torch.from_numpy(inputs).to(place.device)
        check_agreement(self._model(input_ids=ids, attention_mask=attended).logits, replayed, width)


@functools.cache
def _stream(_device: int) -> torch.cuda.Stream:
    """Return the stream to warm up and to capture on: one for all models of the current device.

    For each stream that it is used on, cuBLAS keeps a workspace for good, of 32 MiB on an H100.
    """
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch gives it no types.


def check_agreement(eager: torch.Tensor, replayed: torch.Tensor, width: int) -> None:
    """Make sure that a graph gives what the model gives, but for the rounding of bfloat16.

    Raises:
        RuntimeError: it does not, or gives what is no number.
    """
    if not torch.allclose(eager.float(), replayed.float(), rtol=0.05, atol=0.1):
        apart = float((eager.float() - replayed.float()).abs().max())
        raise RuntimeError(f"the graph of width {width} gives other logits than the model, by up to {apart:.3g}")

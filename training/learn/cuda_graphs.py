"""Forward and backward pass as CUDA graphs: one launch in place of some two thousand.

A step of a small network is over on the GPU long before Python has started the next one, operation by operation.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch

from training.errors import UnusableRecipe, first_line

_STEP: Final = 8
"""Tokens: a graph is of one shape, so a batch is padded to a multiple of this."""

_WARM_UPS: Final = 2

GRAPHED: Final = frozenset({"bert", "roberta", "xlm-roberta"})
"""Encoders whose passes are known to wait for nothing, as a graph must not."""


def can_be_graphed(model: Any) -> bool:
    """Say whether a network's passes can become graphs here: on a GPU, which this process has for itself."""
    return (
        torch.cuda.is_available()
        and not torch.distributed.is_initialized()
        and model.config.get_text_config().model_type in GRAPHED
    )


class Passes:
    """Takes the loss of a batch and its gradients, by a graph for each width.

    Args:
        model: on the GPU, in training mode.
        loss: of the model and a batch, with nothing in it that waits for the GPU.
        rows: of a batch; a batch of fewer is left to the caller.
        pad: id that fills the rows up.
    """

    def __init__(
        self, model: Any, loss: Callable[[dict[str, torch.Tensor]], torch.Tensor], rows: int, pad: int
    ) -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._loss = loss
        self._rows = rows
        self._pad = pad
        # Graphs that never run at the same time can share their memory.
        self._pool = torch.cuda.graph_pool_handle()
        self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._captured: dict[int, tuple[torch.cuda.CUDAGraph, dict[str, torch.Tensor], torch.Tensor]] = {}

    def fit(self, inputs: Mapping[str, torch.Tensor]) -> bool:
        """Say whether there can be a graph for this batch."""
        return len(inputs["input_ids"]) == self._rows

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch; its gradients are where an optimizer looks for them.

        Args:
            inputs: input_ids and attention_mask, rows x width; labels, of one shape in all batches.

        Raises:
            UnusableRecipe: the model does something that a graph cannot hold.
            torch.OutOfMemoryError: the GPU has no memory for it.
        """
        width = inputs["input_ids"].shape[1]
        rounded = -(-width // _STEP) * _STEP
        if rounded not in self._captured:
            with _problems():
                self._captured[rounded] = self._capture(rounded, inputs)
        graph, place, loss = self._captured[rounded]
        self._put(place, inputs)
        graph.replay()
        self._hand_over()
        return loss

    def _put(self, place: dict[str, torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> None:
        width = inputs["input_ids"].shape[1]
        for name, nothing in (("input_ids", self._pad), ("attention_mask", 0)):
            place[name][:, width:] = nothing
            place[name][:, :width] = inputs[name]
        place["labels"].copy_(inputs["labels"])

    def _hand_over(self) -> None:
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient  # Whoever moves the weights takes them away after each step.

    def _capture(
        self, width: int, inputs: Mapping[str, torch.Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, dict[str, torch.Tensor], torch.Tensor]:
        place = {name: inputs[name].new_empty(self._rows, width) for name in ("input_ids", "attention_mask")}
        place["labels"] = torch.empty_like(inputs["labels"])
        self._put(place, inputs)
        self._hand_over()
        # What a first pass sets up must not be recorded; source: PyTorch documentation, "CUDA semantics", CUDA Graphs.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.random.fork_rng(devices=[torch.cuda.current_device()]), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                self._take(place)
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Thread-local: a thread that brings batches in talks to the GPU too.
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
            loss = self._take(place)
        return graph, place, loss

    def _take(self, place: dict[str, torch.Tensor]) -> torch.Tensor:
        """Take loss and gradients, in place: what was there before is forgotten."""
        torch._foreach_zero_(self._gradients)
        loss = self._loss(dict(place))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UnusableRecipe(
            f"learning.cuda_graphs: this network cannot be recorded here ({first_line(error)}). Set it to false"
        ) from error

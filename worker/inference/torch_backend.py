"""The forward pass by PyTorch, on a CPU or a GPU."""

import copy
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
import torch
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from registry.errors import first_line
from registry.pooled_head import AutoModelForSequenceClassification
from worker.errors import ConfigurationError, RejectedData
from worker.inference.backend import CPU_TOKENS, OutOfMemory, is_out_of_memory
from worker.inference.bundle import damaged_bundle
from worker.inference.cuda_graphs import Graphs

log = structlog.get_logger(__name__)

_GPU_TOKENS: Final = 16_384
_SAMPLE: Final = (64, 16)

_UNLOADABLE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    SafetensorError,
    StrictDataclassError,
)

_faster: dict[tuple[str, int], torch.dtype] = {}
"""Precisions found to be the faster ones, by model type and number of weights."""


class TorchBackend:
    """A model of transformers, on one device.

    Args:
        folder: the bundle's folder.
        device: auto, cpu, cuda or cuda:N.
        longest: tokens of the longest text.

    Raises:
        ConfigurationError: there is no such device, the weights are damaged or the GPU cannot hold them.
    """

    def __init__(self, folder: Path, device: str, longest: int) -> None:
        self._device = _device(device)
        self._longest = longest
        self._graphs: Graphs | None = None
        model = _load(folder)
        if self._device.type == "cpu":
            self._model: Any = _in_the_faster_precision(model)
            return
        try:
            with self._on_device():
                half = torch.cuda.is_bf16_supported(including_emulation=False)
                self._model = model.to(self._device, torch.bfloat16 if half else torch.float32)
        except torch.OutOfMemoryError as error:
            raise ConfigurationError(
                f"the GPU has no memory for the model: {error}. Free it or set WORKER_DEVICE=cpu"
            ) from error

    @property
    def max_tokens(self) -> int:
        """Tokens of a micro-batch, padding included, where the operator sets none."""
        return CPU_TOKENS if self._device.type == "cpu" else _GPU_TOKENS

    def about(self) -> dict[str, Any]:
        """Return what the log should say of it."""
        precision = str(self._model.dtype).removeprefix("torch.")
        return {"backend": "torch", "device": str(self._device), "precision": precision}

    def fit(self, max_tokens: int) -> None:
        """Turn the forward pass into graphs, where there is a GPU and the model allows it.

        Raises:
            OutOfMemory: micro-batches of this size are too large.
        """
        self._graphs = None
        if self._device.type == "cpu":
            return
        with self._on_device():
            torch.cuda.empty_cache()
            try:
                self._graphs = Graphs(self._model, max_tokens, self._longest)
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(str(error)) from error
            except RuntimeError as error:
                log.warning("the model runs without CUDA graphs, which is slower", error=str(error))

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Round lengths up to the widths that there are graphs of; without graphs they stay."""
        return self._graphs.widths(lengths) if self._graphs else lengths

    @torch.inference_mode()
    def __call__(self, batches: Iterable[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Run micro-batches; see `worker.inference.backend.Backend`."""
        forward = self._graphs or self._forward
        try:
            with self._on_device():
                # One copy from the GPU for all of them: each would wait for the device.
                logits: NDArray[np.float32] = torch.cat([forward(batch) for batch in batches]).float().cpu().numpy()
        except (ValueError, IndexError, RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(first_line(error)) from error
            if _is_broken(error):
                raise
            raise RejectedData(f"the model fails: {error}") from error
        return logits

    def _forward(self, inputs: NDArray[np.int64]) -> torch.Tensor:
        tokens, mask = torch.from_numpy(inputs).to(self._device, non_blocking=True)
        logits: torch.Tensor = self._model(input_ids=tokens, attention_mask=mask).logits
        return logits

    def _on_device(self) -> AbstractContextManager[Any]:
        """Make the device torch's current one, which each thread has its own of: graphs and streams belong to it."""
        return nullcontext() if self._device.type == "cpu" else torch.cuda.device(self._device)


def has_gpu() -> bool:
    """Whether torch sees a GPU."""
    return torch.cuda.is_available()


def _load(folder: Path) -> Any:
    # Standard error is for log lines, one JSON object each.
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types.
    set_verbosity_error()  # type: ignore[no-untyped-call]  # The same.
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except _UNLOADABLE as error:
        if is_out_of_memory(error):
            raise ConfigurationError(
                f"there is no memory for the model: {first_line(error)}. Free some, or give the worker more"
            ) from error
        raise damaged_bundle(folder, "the weights cannot be loaded", error) from error
    astray = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if astray:
        # transformers would make up what is missing and leave out what is too much.
        raise damaged_bundle(folder, f"weights and config.json are of different models: {', '.join(astray[:3])}")
    return model.eval()


def _in_the_faster_precision(model: Any) -> Any:
    """Return the model in bfloat16, if that proves faster on this CPU, else as it is.

    A model of the same shape is not measured again: while another one serves, that would take long and find little.
    """
    shape = (model.config.model_type, model.num_parameters())
    if shape not in _faster:
        half = copy.deepcopy(model).bfloat16()
        _faster[shape] = min((model, half), key=_seconds).dtype
    return model.to(_faster[shape])


@torch.inference_mode()
def _seconds(model: Any) -> float:
    """Warm up, then measure a small micro-batch."""
    inputs = torch.ones(_SAMPLE, dtype=torch.int64)
    for _ in range(2):
        start = time.perf_counter()
        model(input_ids=inputs, attention_mask=inputs)
    return time.perf_counter() - start


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if has_gpu() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"WORKER_DEVICE={name} is no device: auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"WORKER_DEVICE={name}: torch sees {torch.cuda.device_count()} GPUs here; use auto or cpu, or install "
            "a driver and the CUDA build of torch"
        )
    return device


def _is_broken(error: Exception) -> bool:
    """Whether the process, not the text, is at fault: after a CUDA error every later call fails too."""
    return isinstance(error, torch.AcceleratorError) or "CUDA" in str(error)

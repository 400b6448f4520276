"""The forward pass by ONNX Runtime, on a CPU; needs no torch, which saves seconds at start and much memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from registry.errors import first_line
from schemas.bundle import ONNX_VERSION, Manifest
from worker.errors import ConfigurationError, RejectedData
from worker.inference.backend import CPU_TOKENS, OutOfMemory, is_out_of_memory
from worker.inference.bundle import damaged_bundle

_ERRORS_ONLY: Final = 3
_REFUSED: Final = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NoSuchFile,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""ONNX Runtime's errors have no class in common but Exception."""


class OnnxBackend:
    """An ONNX file of a bundle.

    Args:
        file: as `emotion-training export --onnx` writes it.
        manifest: the bundle's manifest.

    Raises:
        ConfigurationError: the file is damaged, or was made from another bundle.
    """

    def __init__(self, file: Path, manifest: Manifest) -> None:
        options = SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except _REFUSED as error:
            raise damaged_bundle(file.parent, f"{file.name} cannot be loaded", error) from error
        made_from = self._session.get_modelmeta().custom_metadata_map.get(ONNX_VERSION)
        outputs = [(output.name, output.shape[-1]) for output in self._session.get_outputs()]
        if made_from != manifest.version or outputs != [("logits", len(manifest.outputs))]:
            raise ConfigurationError(
                f"{file} was made from bundle {made_from}, and this one is {manifest.version}: make it again by "
                f"`emotion-training export --onnx`, or remove it"
            )
        self._name = file.name

    @property
    def max_tokens(self) -> int:
        """Tokens of a micro-batch, padding included, where the operator sets none."""
        return CPU_TOKENS

    def about(self) -> dict[str, Any]:
        """Return what the log should say of it."""
        return {"backend": "onnx", "device": "cpu", "file": self._name}

    def fit(self, max_tokens: int) -> None:
        """Do nothing: any size will do."""

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the lengths: any width will do."""
        return lengths

    def __call__(self, batches: Iterable[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Run micro-batches; see `worker.inference.backend.Backend`."""
        try:
            return np.concatenate([self._forward(tokens, mask) for tokens, mask in batches])
        except (*_REFUSED, MemoryError) as error:
            if is_out_of_memory(error):
                raise OutOfMemory(first_line(error)) from error
            raise RejectedData(f"the model fails: {error}") from error

    def _forward(self, tokens: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32]
        (logits,) = self._session.run(["logits"], {"input_ids": tokens, "attention_mask": mask})
        return logits

"""A bundle's model as an ONNX file, which `emotion-worker` runs on a CPU by ONNX Runtime, with eight bits or in full.

Eight bits are dynamic: weights are rounded once, a scale an output channel, and the inputs of each matrix product while
it runs, one scale for all of them. A transformer's inputs have a few channels that are ten times as large as any other,
so that little would be left for the rest. Those are divided by a factor, and the weights that meet them multiplied by
it, which changes nothing before the rounding. Source: Xiao et al. (2023), SmoothQuant; here only outliers are moved.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession
from onnxruntime.quantization import QuantType, quantize_dynamic

from registry.errors import UnusableModel, UnusableOutput, first_line
from registry.load import load_bundle
from schemas.bundle import ONNX, ONNX_INT8, ONNX_VERSION, Manifest

_OPSET: Final = 17
_SPARED: Final = 4
"""Channels of a layer's input that may be outliers; the next largest sets the range of all."""

_WORTH_IT: Final = 2.0
"""A layer's input is scaled where its largest channel is this many times as large as its median one."""

_SAMPLES: Final = 64
_TOLERANCE: Final = 1e-3


class _Capped(torch.nn.Module):
    """A linear layer whose input is divided by a factor a channel, and its weights multiplied by it."""

    inverse: torch.Tensor

    def __init__(self, linear: torch.nn.Linear, factors: torch.Tensor) -> None:
        super().__init__()
        linear.weight.data *= factors
        self.linear = linear
        self.register_buffer("inverse", 1 / factors)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return what the layer returned before."""
        outputs: torch.Tensor = self.linear(hidden * self.inverse)
        return outputs


class _Logits(torch.nn.Module):
    """The model as a function of two tensors to one."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, labels)."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def export_onnx(folder: Path, int8: bool) -> Path:
    """Write a bundle's model into the bundle as ONNX; the file appears whole, in place of an older one, or not at all.

    Inputs are `input_ids` and `attention_mask`, int64, shape (batch, sequence); the output is `logits`, float32, shape
    (batch, labels), before the manifest's calibration.

    Args:
        folder: the bundle's folder.
        int8: write model.int8.onnx, a quarter of the size and about twice as fast, in place of model.onnx.

    Returns:
        The file.

    Raises:
        UnusableModel: it is no bundle, or its architecture cannot be exported.
        UnusableOutput: the file cannot be written.
    """
    model, tokenizer, manifest = load_bundle(folder)
    samples = _samples(tokenizer, manifest)
    name = ONNX_INT8 if int8 else ONNX
    try:
        with tempfile.TemporaryDirectory(prefix=".onnx-", dir=folder) as unfinished:
            file = Path(unfinished) / ONNX
            if int8:
                _cap_outliers(model, samples)
            _trace(_Logits(model).eval(), samples, file)
            if int8:
                file = _quantize(file)
            sign(file, manifest.version)
            file.chmod(0o644)
            return file.rename(folder / name)
    except OSError as error:
        raise UnusableOutput(f"{folder / name} cannot be written: {error}. Free the disk or its permissions") from error


def _samples(tokenizer: Any, manifest: Manifest) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask of texts of random words: outliers hardly depend on the text."""
    random = np.random.default_rng(0)
    words = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    texts = [" ".join(random.choice(words, random.integers(2, 20))).replace("▁", "") for _ in range(_SAMPLES)]
    tokenizer.pad_token = tokenizer.pad_token or words[0]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=manifest.max_tokens, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


@torch.no_grad()
def _cap_outliers(model: Any, samples: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Even out the inputs of the linear layers, in place."""
    ids, mask = samples
    largest: dict[str, torch.Tensor] = {}
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}

    def watch(name: str) -> Any:
        def note(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            largest[name] = inputs[0].abs().flatten(0, -2).amax(0)

        return layers[name].register_forward_pre_hook(note)

    hooks = [watch(name) for name in layers]
    model(input_ids=ids, attention_mask=mask)
    for hook in hooks:
        hook.remove()
    for name, channels in largest.items():
        cap = channels.topk(min(_SPARED + 1, len(channels))).values[-1]
        if channels.max() > _WORTH_IT * cap > 0:
            model.set_submodule(name, _Capped(layers[name], (channels / cap).clamp(min=1)))


def _trace(model: torch.nn.Module, samples: tuple[torch.Tensor, torch.Tensor], file: Path) -> None:
    """Write the model, and make sure that the file gives its logits at other sizes than it was traced at."""
    ids, mask = samples
    axes = {0: "batch", 1: "sequence"}
    try:
        with _quiet():
            torch.onnx.export(
                model,
                (ids[:2], mask[:2]),
                file,
                dynamo=False,  # The newer exporter needs onnxscript and gains nothing here.
                opset_version=_OPSET,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
            )
    except (RuntimeError, TypeError, ValueError) as error:
        raise UnusableModel(
            f"torch cannot write this architecture as ONNX: {first_line(error)}. Serve it by torch"
        ) from error
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    for rows in (ids[2:7, :5], mask[2:7, :5]), (ids[7:8], mask[7:8]):
        with torch.inference_mode():
            expected = model(*rows).numpy()
        (logits,) = session.run(["logits"], {"input_ids": rows[0].numpy(), "attention_mask": rows[1].numpy()})
        apart = float(np.abs(logits - expected).max())
        if not apart < _TOLERANCE:
            raise UnusableModel(f"as ONNX this architecture gives other logits, by {apart:.2g}. Serve it by torch")


def _quantize(file: Path) -> Path:
    quantized = file.with_name(ONNX_INT8)
    with _quiet():
        quantize_dynamic(file, quantized, per_channel=True, weight_type=QuantType.QInt8)
    return quantized


def sign(file: Path, version: str) -> None:
    """Write into an ONNX file which version of a bundle it is of."""
    model = onnx.load(file, load_external_data=False)
    onnx.helper.set_model_props(model, {ONNX_VERSION: version})
    onnx.save(model, file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice to the developers of exporters from the user's eyes."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

"""The model: texts in, probabilities of the seven emotions out. The only module that knows torch."""

import copy
import itertools
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.hub import cached_file
from transformers.utils.logging import disable_progress_bar

from schemas.bundle import MANIFEST, Manifest, UnusableBundle, read_manifest
from schemas.emotions import EMOTIONS
from worker.batching import plan
from worker.errors import ConfigurationError, RejectedData
from worker.graphs import Graphs
from worker.metrics import Metrics
from worker.tokens import Tokens

log = structlog.get_logger(__name__)

_GPU_TOKENS: Final = 16_384
_CPU_TOKENS: Final = 2_048
_WARM_UP_TEXTS: Final = ["добрый день я хотела узнать где мой заказ он должен был приехать еще вчера"] * 64


class EmotionClassifier:
    """A bundle, loaded and warm; used by one thread.

    Args:
        model: a folder or a hub name.
        device: auto, cpu, cuda or cuda:N.
        max_batch_tokens: tokens of a forward pass, padding included; None chooses by device.
        metrics: counts useful and padded tokens, where given.

    Raises:
        ConfigurationError: there is no such bundle, it is not one of ours, or there is no such device.
    """

    def __init__(
        self,
        model: str,
        device: str = "auto",
        max_batch_tokens: int | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.manifest = load_manifest(model)
        self.thresholds = np.array([self.manifest.thresholds[emotion] for emotion in EMOTIONS], np.float32)
        calibration = [self.manifest.calibration[emotion] for emotion in EMOTIONS]
        self._scale = np.array([item.scale for item in calibration], np.float32)
        self._bias = np.array([item.bias for item in calibration], np.float32)
        self._metrics = metrics
        self._device = _device(device)
        self._max_tokens = max_batch_tokens or (_CPU_TOKENS if self._device.type == "cpu" else _GPU_TOKENS)
        # Standard error is for log lines, one JSON object each.
        disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types.
        tokenizer = AutoTokenizer.from_pretrained(model)
        self._pad = tokenizer.pad_token_id or 0
        self._tokens = Tokens(tokenizer, self.manifest.max_tokens)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32)
        self._model.eval().to(self._device)
        self._graphs: Graphs | None = None
        self._choose_precision()
        log.info(
            "model is warm",
            version=self.version,
            device=str(self._device),
            precision=str(self._model.dtype).removeprefix("torch."),
            word_cache=self._tokens.by_words,
        )

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @property
    def max_batch_tokens(self) -> int:
        """The budget of a forward pass; it shrinks when the GPU runs out of memory."""
        return self._max_tokens

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return calibrated probabilities, shape (len(texts), 7), in the order of the texts.

        Raises:
            RejectedData: the model fails on something in these texts.
        """
        ids = self._tokens(texts)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        while True:
            try:
                return self._classify(ids, lengths)
            except torch.OutOfMemoryError as error:
                if self._max_tokens <= self.manifest.max_tokens:
                    raise ConfigurationError(
                        f"the GPU has no memory for a single text: {error}. Free it or set WORKER_DEVICE=cpu"
                    ) from error
                self._max_tokens //= 2
                self._capture()
                log.warning(
                    "out of GPU memory: the chunk is classified again in smaller batches, as all after it",
                    max_batch_tokens=self._max_tokens,
                )
            except (ValueError, IndexError, RuntimeError) as error:
                if _is_broken(error):
                    raise
                raise RejectedData(f"the model fails: {error}") from error

    @torch.inference_mode()
    def _classify(self, ids: list[list[int]], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        order, outputs, padded = [], [], 0
        widths = self._graphs.widths(lengths) if self._graphs else lengths
        for batch in plan(widths, self._max_tokens):
            order.append(batch)
            outputs.append(self._forward([ids[at] for at in batch], lengths[batch]))
            padded += len(batch) * int(widths[batch[0]])
        # One copy from the GPU for the whole chunk: each would wait for the device.
        logits = torch.cat(outputs).float().cpu().numpy()
        if self._metrics:
            self._metrics.useful_tokens.inc(int(lengths.sum()))
            self._metrics.padded_tokens.inc(padded)
        scores = np.empty_like(logits)
        scores[np.concatenate(order)] = 1 / (1 + np.exp(-(logits * self._scale + self._bias)))
        return scores

    def _forward(self, ids: list[list[int]], lengths: NDArray[np.int64]) -> torch.Tensor:
        """Run the model on one micro-batch; logits of shape (len(ids), 7)."""
        count, width = len(ids), int(lengths.max())
        if self._graphs:
            width = int(self._graphs.widths(lengths.max()))
            return self._graphs(self._inputs(ids, lengths, self._graphs.rows(width), width))[:count]
        tokens, mask = torch.from_numpy(self._inputs(ids, lengths, count, width)).to(self._device, non_blocking=True)
        logits: torch.Tensor = self._model(input_ids=tokens, attention_mask=mask).logits
        return logits

    def _inputs(self, ids: list[list[int]], lengths: NDArray[np.int64], rows: int, width: int) -> NDArray[np.int64]:
        """Return token ids and attention mask, shape (2, rows, width)."""
        inputs = np.empty((2, rows, width), np.int64)
        tokens, mask = inputs
        tokens.fill(self._pad)
        filled = np.arange(width) < lengths[:, None]
        tokens[: len(ids)][filled] = np.fromiter(itertools.chain.from_iterable(ids), np.int64, int(lengths.sum()))
        mask[: len(ids)] = filled
        mask[len(ids) :] = 1  # Rows that only fill up attend to something, since nothing would be no number.
        return inputs

    def _capture(self) -> None:
        """Turn the forward pass into graphs, where there is a GPU and the model allows it."""
        self._graphs = None
        if self._device.type == "cpu":
            return
        torch.cuda.empty_cache()
        try:
            self._graphs = Graphs(self._model, self._max_tokens, self.manifest.max_tokens)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("the model runs without CUDA graphs, which is slower", error=str(error))

    def _choose_precision(self) -> None:
        """Take bfloat16 where the device is built for it, and on a CPU where it proves faster."""
        if self._device.type == "cuda":
            if torch.cuda.is_bf16_supported(including_emulation=False):
                self._model.bfloat16()
            self._capture()
            self._seconds()
            return
        full, full_s = self._model, self._seconds()
        self._model = copy.deepcopy(full).bfloat16()
        if self._seconds() > full_s:
            self._model = full

    def _seconds(self) -> float:
        """Warm up, then measure a small chunk."""
        self.classify(_WARM_UP_TEXTS)
        start = time.perf_counter()
        self.classify(_WARM_UP_TEXTS)
        return time.perf_counter() - start


def load_manifest(model: str) -> Manifest:
    """Read the manifest of a bundle in a folder or on the hub.

    Raises:
        ConfigurationError: there is none, or it is not one that this version serves.
    """
    try:
        path = Path(model) / MANIFEST if Path(model).is_dir() else Path(str(cached_file(model, MANIFEST)))
        return read_manifest(path.read_bytes())
    except UnusableBundle as error:
        raise ConfigurationError(f"model {model}: {error}") from error
    except OSError as error:
        raise ConfigurationError(
            f"model {model}: no {MANIFEST} ({type(error).__name__}). WORKER_MODEL must name a folder or a hub "
            "repository that `emotion-training fit` wrote"
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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

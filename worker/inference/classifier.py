"""The model: texts in, probabilities of the seven emotions out."""

import ctypes
import importlib.util
import itertools
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from registry.contents import Bundle
from schemas.bundle import ONNX, ONNX_INT8, Neutral, UnusableBundle
from schemas.decisions import rule_of
from schemas.emotions import EMOTIONS
from worker.errors import ConfigurationError, RejectedData
from worker.inference.backend import Backend, OutOfMemory
from worker.inference.bundle import find_bundle, read_tokenizer
from worker.inference.microbatches import plan
from worker.inference.tokenizer import Tokens
from worker.observability.metrics import Metrics

log = structlog.get_logger(__name__)

_WARM_UP_TEXTS: Final = ["добрый день я хотела узнать где мой заказ он должен был приехать еще вчера"] * 64


class Reading(NamedTuple):
    """How a model's outputs are to be read; None leaves it to the bundle.

    Attributes:
        convention: of labels.
        neutral: whether it is assigned where nothing else is, or by its own threshold.
    """

    convention: str | None = None
    neutral: Neutral | None = None


_NEUTRAL: Final = EMOTIONS.index("neutral")

AS_THE_BUNDLE_SAYS: Final = Reading()


class EmotionClassifier:
    """A bundle, loaded and warm; used by one thread at a time.

    Args:
        model: a bundle that is open, a folder or a hub name.
        device: auto, cpu, cuda or cuda:N.
        max_batch_tokens: tokens of a forward pass, padding included; None chooses by device.
        metrics: counts useful and padded tokens of what is classified once it is warm, where given.
        backend: auto, torch or onnx; see `choose`.
        reading: the convention of labels, and what neutral means.

    Raises:
        ConfigurationError: there is no such bundle, it is damaged, not one of ours or does not know the convention, or
            there is no such device.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the operator can say of a model.
        self,
        model: str | Bundle,
        device: str = "auto",
        max_batch_tokens: int | None = None,
        metrics: Metrics | None = None,
        backend: str = "auto",
        reading: Reading = AS_THE_BUNDLE_SAYS,
    ) -> None:
        bundle = model if isinstance(model, Bundle) else find_bundle(model)
        self.manifest = bundle.manifest
        try:
            tuning = self.manifest.tuning(reading.convention)
            self._columns = self.manifest.columns(reading.convention)
        except UnusableBundle as error:
            raise ConfigurationError(f"WORKER_CONVENTION: {error}") from error
        self.convention = reading.convention or self.manifest.convention
        self.rule = rule_of(tuning, reading.neutral)
        calibration = [tuning.calibration[emotion] for emotion in EMOTIONS]
        self._scale = np.array([item.scale for item in calibration], np.float32)
        self._bias = np.array([item.bias for item in calibration], np.float32)
        # The sign of life of the model that serves must not come from one that warms up meanwhile.
        self._metrics: Metrics | None = None
        self._pad = bundle.config.pad_token_id or 0
        self._tokens = Tokens(read_tokenizer(bundle), self.manifest.max_tokens)
        self._backend = choose_backend(bundle, backend, device)
        self._max_tokens = max_batch_tokens or self._backend.max_tokens
        self._ready_for = 0
        self._warm_up()
        self._metrics = metrics
        log.info(
            "model is warm",
            version=self.version,
            convention=self.convention,
            neutral=self.rule.neutral,
            word_cache=self._tokens.by_words,
            **self._backend.about(),
        )

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    @property
    def language(self) -> str:
        """Tag of the language that the bundle was made for."""
        return self.manifest.language

    @property
    def max_batch_tokens(self) -> int:
        """The budget of a forward pass; it shrinks when memory runs out."""
        return self._max_tokens

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return calibrated probabilities, shape (len(texts), 7), in the order of the texts.

        A text that is longer than the model reads at once is read in windows: each emotion has the highest probability
        of any window, and neutral, which is what is left, the lowest.

        Raises:
            RejectedData: the model fails on something in these texts.
            ConfigurationError: there is no memory for a single text.
        """
        return self.classify_windows(texts)[0]

    def classify_windows(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        """Return probabilities as `classify` does, and in how many windows each text was read.

        Raises:
            RejectedData: the model fails on something in these texts.
            ConfigurationError: there is no memory for a single text.
        """
        ids, counts = self._tokens.windows(texts)
        scores = self._score(ids)
        if len(ids) > len(texts):
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            highest, lowest = np.maximum.reduceat(scores, starts), np.minimum.reduceat(scores, starts)
            scores = np.where(np.arange(len(EMOTIONS)) == _NEUTRAL, lowest, highest)
        return scores, counts

    def _score(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """Return probabilities of sequences of token ids, in smaller batches where memory runs out."""
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        while True:
            try:
                if self._ready_for != self._max_tokens:
                    self._backend.fit(self._max_tokens)
                    self._ready_for = self._max_tokens
                return self._classify(ids, lengths)
            except OutOfMemory as error:
                self._halve(error)

    def _warm_up(self) -> None:
        try:
            self.classify(_WARM_UP_TEXTS)
        except RejectedData as error:
            raise ConfigurationError(
                f"the model {self.version} fails on plain texts: {error}. Export it again"
            ) from error

    def _halve(self, error: OutOfMemory) -> None:
        if self._max_tokens <= self.manifest.max_tokens:
            raise ConfigurationError(
                f"there is no memory for a single text: {error}. Free some, give the worker more, or, with a GPU, set "
                "WORKER_DEVICE=cpu"
            ) from error
        self._max_tokens //= 2
        log.warning(
            "out of memory: the chunk is classified again in smaller batches, as all after it",
            max_batch_tokens=self._max_tokens,
        )

    def _classify(self, ids: list[list[int]], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        widths = self._backend.widths(lengths)
        batches = list(plan(widths, self._max_tokens))
        logits = self._backend(
            self._inputs([ids[at] for at in batch], lengths[batch], int(widths[batch[0]])) for batch in batches
        )
        if self._metrics:
            self._metrics.useful_tokens.inc(int(lengths.sum()))
            self._metrics.padded_tokens.inc(sum(len(batch) * int(widths[batch[0]]) for batch in batches))
        wanted = logits[:, self._columns]
        scores = np.empty_like(wanted)
        scores[np.concatenate(batches)] = 1 / (1 + np.exp(-(wanted * self._scale + self._bias)))
        if np.isnan(scores).any():
            raise RejectedData("the model's scores are no numbers (NaN)")
        return scores

    def _inputs(self, ids: list[list[int]], lengths: NDArray[np.int64], width: int) -> NDArray[np.int64]:
        """Return token ids and attention mask, shape (2, len(ids), width)."""
        if self._metrics:
            self._metrics.passes += 1
        inputs = np.empty((2, len(ids), width), np.int64)
        tokens, mask = inputs
        tokens.fill(self._pad)
        filled = np.arange(width) < lengths[:, None]
        tokens[filled] = np.fromiter(itertools.chain.from_iterable(ids), np.int64, int(lengths.sum()))
        mask[:] = filled
        return inputs


def choose_backend(bundle: Bundle, name: str, device: str) -> Backend:
    """Load a bundle's weights into what is to run them.

    Args:
        bundle: whose weights.
        name: torch, onnx, or auto: ONNX Runtime where the device is a CPU, it is installed and the bundle holds a
            file for it; else torch. ONNX Runtime takes the file of eight bits first.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigurationError: that cannot be.
    """
    file = next((path for path in map(bundle.folder.joinpath, (ONNX_INT8, ONNX)) if path.is_file()), None)
    installed = importlib.util.find_spec("onnxruntime") is not None
    if name == "onnx":
        _require_onnx(file, bundle.folder, device, installed=installed)
    # Each backend loads its library, torch in seconds, and the other one may not be installed.
    if file and (name == "onnx" or (name == "auto" and installed and _on_cpu(device))):
        from worker.inference.onnx_backend import OnnxBackend  # noqa: PLC0415 - see above.

        return OnnxBackend(file, bundle.manifest)
    from worker.inference.torch_backend import TorchBackend  # noqa: PLC0415 - see above.

    return TorchBackend(bundle.folder, device, bundle.manifest.max_tokens)


def _require_onnx(file: Path | None, folder: Path, device: str, *, installed: bool) -> None:
    if device not in {"auto", "cpu"}:
        raise ConfigurationError(
            f"WORKER_BACKEND=onnx runs on a CPU, and WORKER_DEVICE is {device}: change one of them"
        )
    if not installed:
        raise ConfigurationError("WORKER_BACKEND=onnx needs ONNX Runtime: `pip install onnxruntime`")
    if file is None:
        raise ConfigurationError(
            f"WORKER_BACKEND=onnx, and {folder} holds no ONNX file: run `emotion-training export --onnx --int8` on it"
        )


def _on_cpu(device: str) -> bool:
    """Whether the model is to run on a CPU; asks torch, which takes seconds to load, only where there is a driver."""
    if device != "auto":
        return device == "cpu"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        if not Path("/dev/kfd").exists():  # AMD's.
            return True
    from worker.inference.torch_backend import has_gpu  # noqa: PLC0415 - see above.

    return not has_gpu()

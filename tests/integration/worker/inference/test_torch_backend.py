"""What a GPU adds to the backend, shown without one: its part is played by the CPU."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import TEXTS, make_bundle
from numpy.typing import NDArray

import worker.inference.classifier
import worker.inference.torch_backend
from worker.errors import ConfigurationError
from worker.inference.classifier import EmotionClassifier
from worker.inference.cuda_graphs import check_agreement
from worker.inference.torch_backend import TorchBackend

SECOND = torch.device("cuda:1")


class GraphsOfASmallGpu:
    """In place of graphs: takes micro-batches up to a size."""

    most = 300

    def __init__(self, model: Any, max_tokens: int, longest: int) -> None:
        if max_tokens > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self._model = model
        assert longest == 64

    def widths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return lengths

    def __call__(self, inputs: NDArray[np.int64]) -> torch.Tensor:
        tokens, mask = torch.from_numpy(inputs)
        logits: torch.Tensor = self._model(input_ids=tokens, attention_mask=mask).logits
        return logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_bundle(tmp_path_factory.mktemp("random"))


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, torch.device]]:
    """Which thread has made which device its current one."""
    seen: list[tuple[str, torch.device]] = []

    @contextmanager
    def device(given: torch.device) -> Iterator[None]:
        seen.append((threading.current_thread().name, given))
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    return seen


@pytest.fixture
def gpu(folder: str, current: list[Any], monkeypatch: pytest.MonkeyPatch) -> TorchBackend:
    """A model on a CPU that takes itself for one on the second GPU."""
    backend = TorchBackend(Path(folder), "cpu", 64)
    backend._model.float()
    backend._device = SECOND
    monkeypatch.setattr(worker.inference.torch_backend, "Graphs", GraphsOfASmallGpu)
    monkeypatch.setattr(worker.inference.classifier, "choose_backend", lambda *_: backend)
    assert not current
    return backend


@pytest.mark.usefixtures("gpu")
def test_graphs_that_do_not_fit_into_memory_halve_the_budget_until_they_do(folder: str) -> None:
    classifier = EmotionClassifier(folder, max_batch_tokens=1024)
    assert classifier.max_batch_tokens == 256
    assert np.isfinite(classifier.classify(TEXTS)).all()


@pytest.mark.usefixtures("gpu")
def test_memory_that_is_gone_later_halves_the_budget_until_new_graphs_fit(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = EmotionClassifier(folder, max_batch_tokens=256)
    expected = classifier.classify(TEXTS)
    graphs = classifier._backend._graphs  # type: ignore[attr-defined]  # It is the torch one.
    failures = [torch.OutOfMemoryError("CUDA out of memory")]

    def scarce(_: NDArray[np.int64]) -> torch.Tensor:
        raise failures.pop()

    scarce.widths = graphs.widths  # type: ignore[attr-defined]  # A function may carry it.
    monkeypatch.setattr(classifier._backend, "_graphs", scarce)
    monkeypatch.setattr(GraphsOfASmallGpu, "most", 64)
    assert np.abs(classifier.classify(TEXTS) - expected).max() < 1e-5
    assert classifier.max_batch_tokens == 64


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_memory_for_one_text_is_for_the_operator_to_solve(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GraphsOfASmallGpu, "most", 0)
    with pytest.raises(ConfigurationError, match=r"no memory for a single text.*WORKER_DEVICE=cpu"):
        EmotionClassifier(folder)


@pytest.mark.usefixtures("gpu")
def test_each_thread_makes_the_device_its_current_one(folder: str, current: list[tuple[str, torch.device]]) -> None:
    classifier = EmotionClassifier(folder, max_batch_tokens=256)
    assert set(current) == {("MainThread", SECOND)}
    thread = threading.Thread(target=classifier.classify, args=(TEXTS,), name="inference")
    thread.start()
    thread.join()
    assert ("inference", SECOND) in current


def test_graphs_that_give_other_logits_are_left_for_the_model_itself(
    gpu: TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(_self: Any, *_: Any) -> None:
        check_agreement(torch.zeros(2, 7), torch.ones(2, 7), 16)

    monkeypatch.setattr(GraphsOfASmallGpu, "__init__", differ)
    gpu.fit(256)
    assert gpu._graphs is None
    assert (gpu.widths(np.array([5, 9])) == [5, 9]).all()


def test_logits_may_differ_by_the_rounding_of_bfloat16_alone() -> None:
    logits = torch.tensor([[-4.0, 0.0, 3.0]])
    check_agreement(logits, logits.bfloat16() + 0.02, 8)
    for wrong in (logits + 0.5, logits.flip(1), logits * float("nan")):
        with pytest.raises(RuntimeError, match="graph of width 8 gives other logits"):
            check_agreement(logits, wrong, 8)


def test_which_precision_is_faster_is_measured_once_for_models_of_one_shape(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[torch.dtype] = []

    def seconds(model: Any) -> float:
        measured.append(model.dtype)
        return float(model.dtype is torch.float32)

    monkeypatch.setattr(worker.inference.torch_backend, "_seconds", seconds)
    monkeypatch.setattr(worker.inference.torch_backend, "_faster", {})
    both = [TorchBackend(Path(folder), "cpu", 64) for _ in range(2)]
    assert [backend.about()["precision"] for backend in both] == ["bfloat16", "bfloat16"]
    assert measured == [torch.float32, torch.bfloat16]


_SCARCE = """
import resource, sys
import numpy as np, psutil, torch
from worker.inference.classifier import EmotionClassifier

torch.set_num_threads(1)
texts = [" ".join(["мне очень страшно"] * 20)] * 4_000
classifier = EmotionClassifier(sys.argv[1], "cpu", max_batch_tokens=1_000_000, backend="torch")
few = classifier.classify(texts[:1])
most = psutil.Process().memory_info().vms + 64 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
scores = classifier.classify(texts)
assert np.abs(scores - few).max() < 1e-2
print(classifier.max_batch_tokens)
"""


def test_a_cpu_without_memory_for_a_batch_halves_the_budget_and_rejects_no_text(folder: str) -> None:
    """A limit of the system's own; the allocator's error has no class of its own there."""
    done = subprocess.run(
        [sys.executable, "-c", _SCARCE, folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 1_000_000

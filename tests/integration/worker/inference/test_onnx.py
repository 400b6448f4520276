"""A bundle exported to ONNX says what it says by torch, needs no torch then, and is chosen where it should be."""

import importlib.util
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bundles import TEXTS, make_bundle, spoil
from numpy.typing import NDArray
from places import ROOT
from transformers import BertConfig, BertForSequenceClassification

import registry.onnx_export
from registry.onnx_export import export_onnx
from schemas.bundle import MANIFEST, ONNX, ONNX_INT8
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.errors import UnusableModel, UnusableOutput
from worker.errors import ConfigurationError, RejectedData
from worker.inference.classifier import EmotionClassifier
from worker.inference.load import released_model

INT8_MEAN, INT8_MOST = 0.01, 0.15
"""How far a score of the released model may move by eight bits, in the mean and at most; see docs/performance.md."""


def example_texts(count: int) -> list[str]:
    """Lines of the sample calls."""
    lines = (ROOT / "examples" / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()
    texts = (normalize(line) for line in lines if line.strip())
    return list(itertools.islice(filter(None, texts), count))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released bundle with both ONNX files."""
    folder = tmp_path_factory.mktemp("onnx") / "released"
    shutil.copytree(released_model(), folder)
    assert export_onnx(folder, int8=False) == folder / ONNX
    assert export_onnx(folder, int8=True) == folder / ONNX_INT8
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An untrained bundle with an ONNX file in float32."""
    folder = tmp_path / "small"
    make_bundle(folder)
    export_onnx(folder, int8=False)
    return folder


@pytest.fixture(scope="session")
def expected(exported: Path) -> NDArray[np.float32]:
    """Scores of 100 texts by torch in float32."""
    classifier = EmotionClassifier(str(exported), "cpu", backend="torch")
    backend: Any = classifier._backend
    backend._model = backend._model.float()
    backend._model.load_state_dict(
        type(backend._model).from_pretrained(exported, dtype=torch.float32).state_dict()
    )  # What was bfloat16 has lost bits.
    return classifier.classify(example_texts(100))


def without_int8(folder: Path, copy: Path) -> str:
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(ONNX_INT8))
    return str(copy)


def test_in_float32_each_score_is_that_of_torch(exported: Path, expected: NDArray[np.float32], tmp_path: Path) -> None:
    classifier = EmotionClassifier(without_int8(exported, tmp_path / "full"), "cpu", backend="onnx")
    assert classifier._backend.about()["file"] == ONNX
    assert np.abs(classifier.classify(example_texts(100)) - expected).max() < 1e-4


def test_in_eight_bits_each_score_is_near_that_of_torch(exported: Path, expected: NDArray[np.float32]) -> None:
    classifier = EmotionClassifier(str(exported), "cpu", backend="onnx")
    assert classifier._backend.about()["file"] == ONNX_INT8
    apart = np.abs(classifier.classify(example_texts(100)) - expected)
    assert apart.mean() < INT8_MEAN
    assert apart.max() < INT8_MOST
    assert np.ptp(expected, axis=0).min() > 0.05  # The texts differ, or it would show little.


def test_eight_bits_take_a_quarter_of_the_room(exported: Path) -> None:
    assert (exported / ONNX_INT8).stat().st_size < 0.3 * (exported / ONNX).stat().st_size
    assert (exported / ONNX_INT8).stat().st_size < 45e6


def test_an_export_leaves_the_rest_of_the_bundle_as_it_was(exported: Path) -> None:
    released = Path(released_model())
    assert {file.name for file in exported.iterdir()} - {file.name for file in released.iterdir()} <= {ONNX, ONNX_INT8}
    assert (exported / MANIFEST).read_bytes() == (released / MANIFEST).read_bytes()
    assert oct((exported / ONNX).stat().st_mode & 0o777) == "0o644"


def test_serving_by_onnx_loads_no_torch(small: Path) -> None:
    code = (
        "import sys; from worker.inference.classifier import EmotionClassifier; "
        f"EmotionClassifier({str(small)!r}, 'cpu').classify(['да']); "
        "print(sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "['onnxruntime']"


def take_away(what: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "file":
        (folder / ONNX).unlink()
    if what == "onnxruntime":
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.mark.parametrize(
    ("backend", "missing", "chosen"),
    [
        ("auto", "nothing", "onnx"),
        ("auto", "onnxruntime", "torch"),
        ("auto", "file", "torch"),
        ("onnx", "nothing", "onnx"),
        ("torch", "nothing", "torch"),
    ],
)
def test_the_backend_is_chosen_by_what_is_there(
    backend: str, missing: str, chosen: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(missing, small, monkeypatch)
    classifier = EmotionClassifier(str(small), "cpu", backend=backend)
    assert classifier._backend.about()["backend"] == chosen
    assert classifier.classify(TEXTS).shape == (len(TEXTS), len(EMOTIONS))


@pytest.mark.parametrize(
    ("device", "missing", "advice"),
    [
        ("cpu", "file", "emotion-training export --onnx --int8"),
        ("cpu", "onnxruntime", "pip install onnxruntime"),
        ("cuda:1", "nothing", "WORKER_DEVICE is cuda:1: change one of them"),
    ],
)
def test_onnx_that_cannot_be_is_refused_with_advice(
    device: str, missing: str, advice: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(missing, small, monkeypatch)
    with pytest.raises(ConfigurationError, match=advice):
        EmotionClassifier(str(small), device, backend="onnx")


def test_a_damaged_file_is_refused_in_one_line(small: Path) -> None:
    (small / ONNX).write_bytes((small / ONNX).read_bytes()[:5000])
    with pytest.raises(ConfigurationError, match=f"{ONNX} cannot be loaded") as refusal:
        EmotionClassifier(str(small), "cpu")
    assert "\n" not in str(refusal.value)


def test_a_file_of_another_bundle_is_refused_with_advice(small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_bundle(other, version="random-2")
    shutil.copy(small / ONNX, other)
    with pytest.raises(ConfigurationError, match=r"made from bundle random-1, and this one is random-2: make it again"):
        EmotionClassifier(str(other), "cpu")


def test_a_failure_of_onnx_runtime_is_the_texts(small: Path) -> None:
    classifier = EmotionClassifier(str(small), "cpu")
    with pytest.raises(RejectedData, match="the model fails"):
        classifier._backend(iter([np.full((2, 1, 4), 10_000)]))


def test_outliers_are_evened_out_and_no_logit_changes() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=7
    )
    model = BertForSequenceClassification(config).eval()
    model.bert.encoder.layer[0].attention.output.LayerNorm.weight.data[3] = 40.0
    ids = torch.randint(50, (8, 12))
    samples = (ids, torch.ones_like(ids))
    with torch.no_grad():
        before = model(*samples).logits
        registry.onnx_export._cap_outliers(model, samples)
        after = model(*samples).logits
    wrapped = model.bert.encoder.layer[0].intermediate.dense
    assert isinstance(wrapped, registry.onnx_export._Capped)
    assert wrapped.inverse[3] < 0.2
    assert (wrapped.inverse == 1).sum() >= 28
    assert torch.allclose(before, after, atol=1e-4)


def test_an_export_that_fails_leaves_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = {file.name: file.stat().st_mtime_ns for file in small.iterdir()}
    monkeypatch.setattr(onnx, "save", full_disk)
    with pytest.raises(UnusableOutput, match="No space left"):
        export_onnx(small, int8=True)
    assert {file.name: file.stat().st_mtime_ns for file in small.iterdir()} == before


def test_what_is_no_bundle_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="no complete bundle"):
        export_onnx(tmp_path, int8=False)


def test_a_text_whose_scores_are_no_numbers_is_refused_here_too(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path))
    spoil(folder, "спасибо")
    export_onnx(folder, int8=False)
    classifier = EmotionClassifier(str(folder), "cpu", backend="onnx")
    assert classifier.classify(["алло", "ну хорошо"]).shape == (2, len(EMOTIONS))
    with pytest.raises(RejectedData, match="no numbers"):
        classifier.classify(["алло", "ну хорошо спасибо вам"])

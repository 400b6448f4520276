"""A head of ours on any encoder: fitted, opened by transformers, served by torch and by ONNX Runtime alike."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import BERT, BRIEF, ENCODERS, OTHERS, WORDS, arguments, make_base
from numpy.typing import NDArray
from transformers import pipeline

from registry.load import load_bundle
from registry.onnx_export import export_onnx
from registry.pooled_head import POOLINGS, AutoModelForSequenceClassification, PooledForSequenceClassification
from schemas.bundle import CONFIG, ONNX, ONNX_INT8, POOLED
from schemas.emotions import EMOTIONS
from training.cli import main
from worker.errors import ConfigurationError
from worker.inference.classifier import EmotionClassifier

MEAN = ["network.pooling=mean", "network.head_layers=2", "network.head_width=24", "network.head_dropout=0.2"]
TEXTS = [f"ну {other} {word}" for word, *_ in WORDS for other, _ in OTHERS] + ["да", "вот так " * 30]


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def pooled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with mean pooling and two layers above it, that has learned."""
    root = tmp_path_factory.mktemp("pooled")
    many = [*BRIEF, "learning.epochs.ru_go_emotions=30", *MEAN]
    assert run(arguments(data, make_base(root / "base"), root / "model", many)) == 0
    return root / "model"


def served(folder: Path, backend: str) -> NDArray[np.float32]:
    """Score as the worker does, in float32."""
    classifier = EmotionClassifier(str(folder), "cpu", backend=backend)
    if backend == "torch":
        classifier._backend._model = load_bundle(folder)[0].eval()  # type: ignore[attr-defined]  # It is the torch one.
    return classifier.classify(TEXTS)


@pytest.mark.parametrize("config", [BERT, *ENCODERS], ids=lambda config: config.model_type)
def test_any_encoder_takes_a_head_of_ours_and_is_served_alike_by_torch_onnx_and_pipeline(
    config: Any, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    assert run(arguments(data, make_base(tmp_path / "base", config), folder, [*BRIEF, *MEAN])) == 0
    assert json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_type"] == POOLED
    export_onnx(folder, int8=False)

    by_torch, by_onnx = served(folder, "torch"), served(folder, "onnx")

    assert np.abs(by_torch - by_onnx).max() < 1e-4
    assert np.ptp(by_torch, axis=0).max() > 0.01  # The texts differ, or it would show little.
    classify: Any = pipeline("text-classification", model=str(folder), top_k=None, function_to_apply="sigmoid")
    for text, row in zip(TEXTS[:10], by_torch, strict=False):
        answers = {answer["label"]: answer["score"] for answer in classify([text])[0]}
        assert [answers[emotion] for emotion in EMOTIONS] == pytest.approx(row, abs=1e-4)


def test_it_learns_and_is_measured_and_exported_to_eight_bits(pooled: Path, data: Path, tmp_path: Path) -> None:
    classify: Any = pipeline("text-classification", model=str(pooled), top_k=None, function_to_apply="sigmoid")
    for word, _, label, _ in WORDS:
        assert classify([f"ну вот {word}"])[0][0]["label"] == label
    copy = shutil.copytree(pooled, tmp_path / "copy")
    export_onnx(copy, int8=True)
    assert not (copy / ONNX).exists()
    assert np.abs(served(copy, "onnx") - served(copy, "torch")).mean() < 0.05
    assert (copy / ONNX_INT8).is_file()
    assert run(["evaluate", "--model", str(pooled), "--data", str(data / "ru_go_emotions")]) == 0
    assert "import registry.pooled_head" in (pooled / "README.md").read_text(encoding="utf-8")


def test_the_worker_serves_it_in_the_precision_that_is_faster_here(pooled: Path) -> None:
    scores = EmotionClassifier(str(pooled), "cpu", backend="torch").classify(TEXTS)
    assert np.abs(scores - served(pooled, "torch")).max() < 0.05


@pytest.mark.parametrize("pooling", POOLINGS)
def test_filling_up_changes_no_logit_however_tokens_are_pooled(pooling: str, pooled: Path) -> None:
    config = AutoModelForSequenceClassification.from_pretrained(pooled).config
    config.pooling = pooling
    model: Any = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.tensor([[0, 5, 6, 2], [0, 7, 8, 2]])
    filled = torch.cat([ids, torch.ones_like(ids)], 1)
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(ids)], 1)
    with torch.no_grad():
        torch.testing.assert_close(model(filled, mask).logits, model(ids).logits)
    assert model.half().float()(ids, labels=torch.ones(2, 7)).loss > 0


def test_a_bundle_of_ours_can_be_the_base_of_another_head(pooled: Path, data: Path, tmp_path: Path) -> None:
    settings = [*BRIEF, "network.pooling=max"]
    assert run(arguments(data, pooled, tmp_path / "model", settings)) == 0
    model, _, _ = load_bundle(tmp_path / "model")
    assert isinstance(model, PooledForSequenceClassification)
    assert len(model.head) == 2
    assert model.config.pooling == "max"
    assert model.config.text_config.model_type == "bert"


def test_a_warm_start_keeps_the_head(pooled: Path, data: Path, tmp_path: Path) -> None:
    assert run(arguments(data, pooled, tmp_path / "model", [*BRIEF, "warm_start=true"])) == 0
    again, before = (load_bundle(folder)[0] for folder in (tmp_path / "model", pooled))
    assert again.config.pooling == "mean"
    assert [layer.weight.shape for layer in again.head[1::3]] == [layer.weight.shape for layer in before.head[1::3]]


def test_without_our_package_the_refusal_names_the_network(pooled: Path) -> None:
    code = f"from transformers import AutoModelForSequenceClassification as A; A.from_pretrained({str(pooled)!r})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert f"model type `{POOLED}`" in ended.stderr.splitlines()[-1] + ended.stderr


def test_a_network_of_a_later_version_is_refused_with_advice(pooled: Path, tmp_path: Path) -> None:
    later = shutil.copytree(pooled, tmp_path / "later")
    config = (later / CONFIG).read_text(encoding="utf-8")
    (later / CONFIG).write_text(config.replace(POOLED, f"{POOLED}-2"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"network is {POOLED}-2, .* Run the version that made it"):
        EmotionClassifier(str(later), "cpu")


def test_a_head_without_pooling_of_ours_is_refused_in_one_line(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(data, tmp_path, tmp_path / "model", ["network.head_layers=2"])) == 2
    [last] = capfd.readouterr().err.strip().splitlines()
    assert "network: head_layers and head_width shape a head of ours" in last

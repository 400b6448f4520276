"""A bundle of two conventions is served by either, and what says so is the setting, the rows and the answers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import BOTH, TEXTS, make_bundle
from commands import WORKER
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from registry.onnx_export import export_onnx
from schemas.bundle import MANIFEST, Neutral, read_manifest
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel
from training.evaluate.predictor import open_served
from worker.errors import ConfigurationError
from worker.inference.classifier import EmotionClassifier, Reading

SHORT = [text for text in TEXTS if len(text) < 100]
"""Texts that the model reads in one window."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of calls and public, with an ONNX file."""
    folder = tmp_path_factory.mktemp("both") / "both"
    make_bundle(folder, **BOTH)
    export_onnx(folder, int8=False)
    return folder


@pytest.fixture(scope="module")
def logits(both: Path) -> NDArray[np.float64]:
    """What plain transformers give for `SHORT`, in float32; n x 14."""
    tokenizer = AutoTokenizer.from_pretrained(both)
    model = AutoModelForSequenceClassification.from_pretrained(both, dtype=torch.float32).eval()
    with torch.no_grad():
        encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=64) for text in SHORT]
        rows = [model(input_ids=each["input_ids"], attention_mask=each["attention_mask"]).logits for each in encoded]
    return torch.cat(rows).double().numpy()


def calibrated(folder: Path, logits: NDArray[np.float64], convention: str) -> NDArray[np.float64]:
    manifest = read_manifest((folder / MANIFEST).read_bytes())
    items = [manifest.tuning(convention).calibration[emotion] for emotion in EMOTIONS]
    scaled = logits[:, manifest.columns(convention)] * [item.scale for item in items] + [item.bias for item in items]
    found: NDArray[np.float64] = 1 / (1 + np.exp(-scaled))
    return found


def test_plain_transformers_open_it_and_its_first_seven_outputs_are_the_default_conventions(both: Path) -> None:
    names = AutoModelForSequenceClassification.from_pretrained(both).config.id2label
    assert [names[at] for at in range(7)] == list(EMOTIONS)
    assert [names[at] for at in range(7, 14)] == [f"public:{emotion}" for emotion in EMOTIONS]


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("wanted", [None, "calls", "public"])
def test_scores_are_those_of_the_wanted_convention(
    both: Path, logits: NDArray[np.float64], wanted: str | None, backend: str
) -> None:
    classifier = EmotionClassifier(str(both), "cpu", backend=backend, reading=Reading(wanted))
    if backend == "torch":
        classifier._backend._model.float()  # type: ignore[attr-defined]  # It is the torch one.
    expected = calibrated(both, logits, wanted or "calls")
    assert classifier.convention == (wanted or "calls")
    assert np.abs(classifier.classify(SHORT) - expected).max() < (1e-2 if backend == "torch" else 1e-4)
    assert np.abs(expected - calibrated(both, logits, "public" if wanted != "public" else "calls")).max() > 0.1


@pytest.mark.parametrize(
    ("reading", "neutral", "threshold"),
    [
        (Reading(), "exclusive", 0.5),
        (Reading("public"), "independent", 0.4),
        (Reading("public", "exclusive"), "exclusive", 0.4),
        (Reading(None, "independent"), "independent", 0.5),
    ],
)
def test_what_neutral_means_is_said_by_the_bundle_and_overridden_by_the_setting(
    both: Path, reading: Reading, neutral: Neutral, threshold: float
) -> None:
    rule = EmotionClassifier(str(both), "cpu", reading=reading).rule
    assert rule.neutral == neutral
    assert rule.thresholds == pytest.approx([threshold] * 7)


def test_a_convention_that_the_model_lacks_is_refused_with_those_that_it_has(both: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"WORKER_CONVENTION: .* 'forum': name one of calls, public"):
        EmotionClassifier(str(both), "cpu", reading=Reading("forum"))


def test_an_onnx_file_that_holds_one_convention_of_two_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "old")
    export_onnx(tmp_path / "old", int8=False)
    make_bundle(tmp_path / "both", **BOTH)
    (tmp_path / "old" / "model.onnx").rename(tmp_path / "both" / "model.onnx")
    with pytest.raises(ConfigurationError, match="make it again by `emotion-training export --onnx`"):
        EmotionClassifier(str(tmp_path / "both"), "cpu", backend="onnx")


def answers(*options: str) -> list[dict[str, Any]]:
    command = (WORKER, "classify", "--device", "cpu", *options)
    done = subprocess.run(command, input="\n".join(TEXTS[:20]), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_classify_takes_convention_and_rule_as_options_and_says_which_it_followed(both: Path) -> None:
    calls = answers("--model", str(both))
    public = answers("--model", str(both), "--convention", "public", "--neutral", "exclusive")
    assert {answer["convention"] for answer in calls} == {"calls"}
    assert {answer["convention"] for answer in public} == {"public"}
    assert [answer["scores"] for answer in calls] != [answer["scores"] for answer in public]
    for answer in (*calls, *public):
        assert answer["emotions"] == ["neutral"] or (answer["emotions"] and "neutral" not in answer["emotions"])


@pytest.mark.parametrize("wanted", [None, "calls", "public"])
def test_the_training_side_says_of_a_bundle_what_the_worker_says(
    both: Path, logits: NDArray[np.float64], wanted: str | None
) -> None:
    served = open_served(both, wanted)
    scores = served.scores(served.logits(SHORT))
    assert np.abs(scores - calibrated(both, logits, wanted or "calls")).max() < 1e-4
    worker = EmotionClassifier(str(both), "cpu", reading=Reading(wanted)).rule
    assert served.rule.neutral == worker.neutral
    assert (served.rule.assign(scores) == worker.assign(scores)).all()


def test_the_training_side_refuses_a_convention_that_a_bundle_lacks(both: Path) -> None:
    with pytest.raises(UnusableModel, match=r"no convention 'forum': name one of calls, public"):
        open_served(both, "forum")

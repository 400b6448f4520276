"""The classifier says what plain transformers say of the same bundle, text by text."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import TEXTS, WORDS, make_bundle, spoil
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from schemas.bundle import CONFIG, MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from worker.errors import ConfigurationError, RejectedData
from worker.inference.backend import OutOfMemory
from worker.inference.classifier import EmotionClassifier
from worker.inference.load import released_model
from worker.inference.torch_backend import TorchBackend
from worker.observability.metrics import Metrics

SAID = [*TEXTS, "мне очень страшно", "какая мерзость", "как же мне грустно"]
"""Of these, each emotion is told by some and not by others."""


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_bundle(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module", params=["random", "released"])
def bundle(request: pytest.FixtureRequest) -> str:
    return released_model() if request.param == "released" else str(request.getfixturevalue("random_bundle"))


@pytest.fixture(scope="module")
def classifier(bundle: str) -> EmotionClassifier:
    return EmotionClassifier(bundle, "cpu", backend="torch")


@pytest.fixture(scope="module")
def expected(bundle: str) -> NDArray[np.float64]:
    """Scores by a plain forward pass in float32, one text, or window of one, at a time; shape (n, 7)."""
    manifest = read_manifest((Path(bundle) / MANIFEST).read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForSequenceClassification.from_pretrained(bundle, dtype=torch.float32).eval()
    begin, end = tokenizer("")["input_ids"]
    scale, bias = (
        np.array([getattr(manifest.calibration[name], field) for name in EMOTIONS]) for field in ("scale", "bias")
    )
    rows = []
    for text in SAID:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        count = -(-len(ids) // (manifest.max_tokens - 2))
        windows = [ids[len(ids) * at // count : len(ids) * (at + 1) // count] for at in range(count)]
        with torch.no_grad():
            logits = [model(torch.tensor([[begin, *each, end]])).logits[0, :7] for each in windows]
        scores = 1 / (1 + np.exp(-(scale * torch.stack(logits).double().numpy() + bias)))
        rows.append([*scores[:, :-1].max(0), scores[:, -1].min()])
    return np.array(rows)


@pytest.fixture
def small(random_bundle: str) -> EmotionClassifier:
    """A random model in float32 with a budget of a few texts."""
    classifier = EmotionClassifier(random_bundle, "cpu", max_batch_tokens=256)
    model_of(classifier)._model.float()
    return classifier


def model_of(classifier: EmotionClassifier) -> TorchBackend:
    assert isinstance(classifier._backend, TorchBackend)
    return classifier._backend


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)], ids=str)
def test_scores_are_those_of_a_plain_forward_pass_in_the_order_of_the_texts(
    precision: torch.dtype, tolerance: float, classifier: EmotionClassifier, bundle: str, expected: NDArray[np.float64]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(bundle, dtype=torch.float32).eval()
    model_of(classifier)._model = model.to(precision)

    scores = classifier.classify(SAID)

    assert scores.shape == (len(SAID), len(EMOTIONS))
    assert np.abs(scores - expected).max() < tolerance
    assert np.ptp(expected, axis=0).min() > 0.01  # The texts differ, or their order would not show.


@pytest.mark.parametrize("batch_tokens", [64, 4_096])
def test_a_text_beyond_the_models_reach_is_read_to_its_end_in_windows(random_bundle: str, batch_tokens: int) -> None:
    """Each emotion has the highest probability of any window, and neutral the lowest."""
    classifier = EmotionClassifier(random_bundle, "cpu", max_batch_tokens=batch_tokens)
    model_of(classifier)._model.float()
    room = classifier.manifest.max_tokens - 2
    words = (WORDS * 50)[: 2 * room + 8]  # Each of them is one token of this vocabulary.
    thirds = [" ".join(words[len(words) * at // 3 : len(words) * (at + 1) // 3]) for at in range(3)]
    apart, ones = classifier.classify_windows(thirds)
    assert ones == [1, 1, 1]

    scores, windows = classifier.classify_windows(["алло", " ".join(words), "", "спасибо"])

    assert windows == [1, 3, 1, 1]
    assert scores[1, :-1] == pytest.approx(apart[:, :-1].max(0), abs=1e-4)
    assert scores[1, -1] == pytest.approx(apart[:, -1].min(), abs=1e-4)
    assert scores[[0, 3]] == pytest.approx(classifier.classify(["алло", "спасибо"]), abs=1e-4)


def test_a_text_whose_scores_are_no_numbers_is_refused(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path))
    spoil(folder, "спасибо")
    classifier = EmotionClassifier(str(folder), "cpu", backend="torch")
    assert classifier.classify(["алло", "ну хорошо"]).shape == (2, len(EMOTIONS))
    with pytest.raises(RejectedData, match="no numbers"):
        classifier.classify(["алло", "ну хорошо спасибо вам"])


def test_a_model_whose_scores_are_no_numbers_for_plain_texts_is_refused_at_the_start(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path))
    spoil(folder, "вчера")
    with pytest.raises(ConfigurationError, match="random-1 fails on plain texts"):
        EmotionClassifier(str(folder), "cpu", backend="torch")


def test_scores_depend_on_the_text_alone_not_on_its_company(small: EmotionClassifier) -> None:
    forward = small.classify(TEXTS)
    backward = small.classify(TEXTS[::-1])[::-1]
    alone = np.concatenate([small.classify([text]) for text in TEXTS])
    assert np.abs(forward - backward).max() < 1e-4
    assert np.abs(forward - alone).max() < 1e-4


def test_no_forward_pass_takes_more_tokens_than_the_budget(
    small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    forward = model_of(small)._forward

    def measured(inputs: NDArray[np.int64]) -> torch.Tensor:
        sizes.append(inputs[0].size)
        return forward(inputs)

    monkeypatch.setattr(small._backend, "_forward", measured)
    small.classify(TEXTS)
    assert len(sizes) > 2
    assert max(sizes) <= 256


def test_metrics_tell_useful_from_padded_tokens_of_all_but_the_warm_up(random_bundle: str) -> None:
    metrics = Metrics()
    classifier = EmotionClassifier(random_bundle, "cpu", metrics=metrics)
    assert metrics.passes == 0
    classifier.classify(["алло", "алло я по поводу заказа"])
    assert metrics.registry.get_sample_value("emotion_tokens_total") == 3 + 7
    assert metrics.registry.get_sample_value("emotion_padded_tokens_total") == 7 + 7
    assert metrics.passes == 1


def test_out_of_memory_halves_the_budget_and_changes_no_score(
    small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = small.classify(TEXTS)
    failures = [torch.OutOfMemoryError("CUDA out of memory")]
    forward = model_of(small)._forward

    def scarce(inputs: NDArray[np.int64]) -> torch.Tensor:
        if failures:
            raise failures.pop()
        return forward(inputs)

    monkeypatch.setattr(small._backend, "_forward", scarce)
    scores = small.classify(TEXTS)
    assert small.max_batch_tokens == 128
    assert np.abs(scores - expected).max() < 1e-5


def test_no_memory_for_a_single_text_is_for_the_operator_to_solve(
    small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int) -> None:
        raise OutOfMemory("CUDA out of memory")

    monkeypatch.setattr(small._backend, "fit", none_left)
    small._ready_for = 0
    with pytest.raises(ConfigurationError, match="WORKER_DEVICE=cpu"):
        small.classify(TEXTS)


@pytest.mark.parametrize(
    ("error", "seen"),
    [(IndexError("index out of range"), RejectedData), (RuntimeError("CUDA error: device-side assert"), RuntimeError)],
)
def test_a_failure_is_the_texts_unless_the_device_is_broken(
    error: Exception, seen: type[Exception], small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> torch.Tensor:
        raise error

    monkeypatch.setattr(small._backend, "_forward", fail)
    with pytest.raises(seen, match=str(error)):
        small.classify(TEXTS)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"labels": ("good", "bad")}, "labels are good, bad, .*Fit a model on these seven emotions"),
        ({"normalizer": "0"}, "normalizer 0, .*or fit the model again"),
    ],
)
def test_a_bundle_that_is_not_ours_is_refused_with_advice(changed: dict[str, Any], advice: str, tmp_path: Path) -> None:
    foreign = make_bundle(tmp_path, **changed)
    with pytest.raises(ConfigurationError, match=advice):
        EmotionClassifier(foreign)


def test_a_folder_without_a_manifest_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{MANIFEST} is missing. Name a folder"):
        EmotionClassifier(str(tmp_path))


def test_a_manifest_that_cannot_be_read_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"version": "1"', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*Export the bundle again"):
        EmotionClassifier(str(tmp_path))


def change_config(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps(config | fields), encoding="utf-8")


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def lose_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "weights cannot be loaded .*model.safetensors"),
        (cut_weights, "weights cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "weights cannot be loaded"),
        (lose_weights, "of different models: bert.encoder.layer.1"),
        (lambda folder: change_config(folder, num_hidden_layers=1), "of different models: bert.encoder.layer.1"),
        (lambda folder: change_config(folder, hidden_size=64), "weights cannot be loaded"),
        (lambda folder: change_config(folder, hidden_size="wide"), "weights cannot be loaded"),
        (lambda folder: change_config(folder, hidden_act="none such"), "weights cannot be loaded"),
        (lambda folder: change_config(folder, id2label=dict(enumerate(EMOTIONS[::-1]))), "neutral, .* \\(id2label\\)"),
        (lambda folder: (folder / CONFIG).unlink(), f"{CONFIG} is missing"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read"),
    ],
    ids=[
        "no weights",
        "weights cut short",
        "empty weights",
        "a layer is missing",
        "a layer too much",
        "another size",
        "a size that is none",
        "an unknown function",
        "labels in another order",
        "no config",
        "no tokenizer",
        "half a tokenizer",
    ],
)
def test_a_damaged_bundle_is_refused_in_one_line(
    damage: Callable[[Path], Any], says: str, random_bundle: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(random_bundle, folder)
    damage(folder)
    with pytest.raises(ConfigurationError, match=says) as refusal:
        EmotionClassifier(str(folder), "cpu")
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match=r"the hub does not give it .*WORKER_MODEL must name") as refusal:
        EmotionClassifier("nobody/no-such-model")
    assert "\n" not in str(refusal.value)


def test_a_folder_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"model \./models/nothing: no such folder"):
        EmotionClassifier("./models/nothing")


@pytest.mark.parametrize(
    ("device", "advice"), [("abacus", "auto, cpu, cuda or cuda:N"), ("cuda:99", "use auto or cpu")]
)
def test_a_device_that_is_not_there_is_refused_with_advice(device: str, advice: str, random_bundle: str) -> None:
    with pytest.raises(ConfigurationError, match=f"WORKER_DEVICE={device}.*{advice}"):
        EmotionClassifier(random_bundle, device)

"""The classifier says what plain transformers say of the same bundle, text by text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from schemas.bundle import MANIFEST, Calibration, Manifest, read_manifest
from schemas.emotions import EMOTIONS
from schemas.normalization import NORMALIZER, normalize
from worker.classifier import EmotionClassifier
from worker.composition import released_model
from worker.errors import ConfigurationError, RejectedData
from worker.metrics import Metrics

SAID = "алло я по поводу заказа номер 12 он должен был приехать еще вчера это безобразие ну хорошо спасибо вам"
WORDS = SAID.split()
# Of all lengths in no order, some alike, some longer than any model here takes.
TEXTS = [
    normalize(" ".join(WORDS[start % 7 :][: 1 + start * 5 % 11]) * (1 + 30 * (start % 13 == 0))) for start in range(60)
]


def make_bundle(folder: Path, **changed: Any) -> str:
    """Write an untrained model with a small Unigram vocabulary and a manifest."""
    letters = sorted({letter for word in WORDS for letter in word})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *dict.fromkeys(f"▁{word}" for word in WORDS), *letters]
    inner = Tokenizer(Unigram([(piece, -float(at > 3)) for at, piece in enumerate(pieces)], unk_id=3))
    inner.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "unk_token": "<unk>"})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
        num_labels=len(EMOTIONS),
        initializer_range=0.2,  # Scores that differ from text to text.
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    manifest = {
        "version": "random-1",
        "labels": EMOTIONS,
        "thresholds": dict.fromkeys(EMOTIONS, 0.5),
        "calibration": {emotion: Calibration(1 + at / 10, at / 7 - 0.5) for at, emotion in enumerate(EMOTIONS)},
        "normalizer": NORMALIZER,
        "base_model": "none",
        "data_fingerprint": "none",
        "metrics": {},
        "created_at": "2026-01-01T00:00:00Z",
        "max_tokens": 64,
    }
    (folder / MANIFEST).write_bytes(Manifest(**manifest | changed).encode())
    return str(folder)


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_bundle(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module", params=["random", "released"])
def bundle(request: pytest.FixtureRequest) -> str:
    return released_model() if request.param == "released" else str(request.getfixturevalue("random_bundle"))


@pytest.fixture(scope="module")
def classifier(bundle: str) -> EmotionClassifier:
    return EmotionClassifier(bundle, "cpu")


@pytest.fixture(scope="module")
def expected(bundle: str) -> NDArray[np.float64]:
    """Scores by a plain forward pass in float32, one text at a time; shape (n, 7)."""
    manifest = read_manifest((Path(bundle) / MANIFEST).read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForSequenceClassification.from_pretrained(bundle, dtype=torch.float32).eval()
    rows = []
    for text in TEXTS:
        encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=manifest.max_tokens)
        with torch.no_grad():
            logits = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits[0]
        parts = zip(logits.double().tolist(), EMOTIONS, strict=True)
        rows.append(
            [manifest.calibration[name].scale * logit + manifest.calibration[name].bias for logit, name in parts]
        )
    return 1 / (1 + np.exp(-np.array(rows)))


@pytest.fixture
def small(random_bundle: str) -> EmotionClassifier:
    """A random model in float32 with a budget of a few texts."""
    classifier = EmotionClassifier(random_bundle, "cpu", max_batch_tokens=256)
    classifier._model.float()
    return classifier


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 1e-2)], ids=str)
def test_scores_are_those_of_a_plain_forward_pass_in_the_order_of_the_texts(
    precision: torch.dtype, tolerance: float, classifier: EmotionClassifier, bundle: str, expected: NDArray[np.float64]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(bundle, dtype=torch.float32).eval()
    classifier._model = model.to(precision)

    scores = classifier.classify(TEXTS)

    assert scores.shape == (len(TEXTS), len(EMOTIONS))
    assert np.abs(scores - expected).max() < tolerance
    assert np.ptp(expected, axis=0).min() > 0.01  # The texts differ, or their order would not show.


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
    original = small._forward

    def measured(ids: list[list[int]], lengths: NDArray[np.int64]) -> torch.Tensor:
        sizes.append(len(ids) * max(map(len, ids)))
        return original(ids, lengths)

    monkeypatch.setattr(small, "_forward", measured)
    small.classify(TEXTS)
    assert len(sizes) > 2
    assert max(sizes) <= 256


def test_metrics_tell_useful_from_padded_tokens(random_bundle: str) -> None:
    metrics = Metrics()
    classifier = EmotionClassifier(random_bundle, "cpu", metrics=metrics)
    useful, padded = (
        metrics.registry.get_sample_value(name) for name in ("emotion_tokens_total", "emotion_padded_tokens_total")
    )
    assert useful
    assert padded
    classifier.classify(["алло", "алло я по поводу заказа"])
    assert metrics.registry.get_sample_value("emotion_tokens_total") == useful + 3 + 7
    assert metrics.registry.get_sample_value("emotion_padded_tokens_total") == padded + 7 + 7


def test_out_of_memory_halves_the_budget_and_changes_no_score(
    small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = small.classify(TEXTS)
    failures = [torch.OutOfMemoryError("CUDA out of memory")]
    original = small._forward

    def scarce(*arguments: Any) -> torch.Tensor:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(small, "_forward", scarce)
    scores = small.classify(TEXTS)
    assert small.max_batch_tokens == 128
    assert np.abs(scores - expected).max() < 1e-5


def test_no_memory_for_a_single_text_is_for_the_operator_to_solve(
    small: EmotionClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(small, "_forward", none_left)
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

    monkeypatch.setattr(small, "_forward", fail)
    with pytest.raises(seen, match=str(error)):
        small.classify(TEXTS)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"labels": ("good", "bad")}, "labels are good, bad, .*Fit a model on these seven emotions"),
        ({"normalizer": "0"}, "normalizer 0, .*or fit the model anew"),
    ],
)
def test_a_bundle_that_is_not_ours_is_refused_with_advice(changed: dict[str, Any], advice: str, tmp_path: Path) -> None:
    foreign = make_bundle(tmp_path, **changed)
    with pytest.raises(ConfigurationError, match=advice):
        EmotionClassifier(foreign)


def test_a_folder_without_a_manifest_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"no {MANIFEST} .*WORKER_MODEL must name"):
        EmotionClassifier(str(tmp_path))


def test_a_manifest_that_cannot_be_read_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"version": "1"', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*Export the bundle anew"):
        EmotionClassifier(str(tmp_path))


@pytest.mark.parametrize(
    ("device", "advice"), [("abacus", "auto, cpu, cuda or cuda:N"), ("cuda:99", "use auto or cpu")]
)
def test_a_device_that_is_not_there_is_refused_with_advice(device: str, advice: str, random_bundle: str) -> None:
    with pytest.raises(ConfigurationError, match=f"WORKER_DEVICE={device}.*{advice}"):
        EmotionClassifier(random_bundle, device)

"""`emotion-training` from published files to a bundle that plain transformers opens."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, pipeline

from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main

# The Russian word, its English original, GoEmotions' name and number of what it says.
WORDS = [
    ("злюсь", "angry", "anger", 2),
    ("мерзко", "gross", "disgust", 11),
    ("страшно", "scary", "fear", 14),
    ("рада", "happy", "joy", 17),
    ("грустно", "sad", "sadness", 25),
    ("неожиданно", "sudden", "surprise", 26),
    ("обычно", "usual", "neutral", 27),
]
FILLING = [("ну", "well"), ("я", "i"), ("очень", "very"), ("сегодня", "today"), ("вот", "here"), ("так", "so")]


def rows(count: int, seed: int) -> list[tuple[str, str, str, str, int]]:
    """Make (id, Russian, English, label, number of the label) a row."""
    chance = random.Random(seed)
    made = []
    for at in range(count):
        word = WORDS[at % len(WORDS)]
        around = chance.sample(FILLING, 2)
        russian, english = ([pair[language] for pair in (*around, word)] for language in (0, 1))
        made.append((f"{seed}x{at}", " ".join(russian).capitalize() + "!", " ".join(english), word[2], word[3]))
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for name in ("goemotions", "ru_go_emotions", "cedr"):
        (root / name).mkdir()
    train, validation = rows(112, 1), rows(56, 2)
    header = "id\tru_text\ten_text\tgoemotions_labels\tekman\n"
    table = "".join(f"{name}\t{russian}\t{english}\t{label}\t\n" for name, russian, english, label, _ in train)
    (root / "ru_go_emotions" / "train_part.tsv").write_text(header + table, encoding="utf-8")
    table = "".join(f"{russian},{english},[{number}],{name}\n" for name, russian, english, _, number in validation)
    (root / "ru_go_emotions" / "validation.csv").write_text("ru_text,text,labels,id\n" + table, encoding="utf-8")
    table = "".join(f"{english}\t{number}\t{name}\n" for name, _, english, _, number in train)
    (root / "goemotions" / "train.tsv").write_text(table, encoding="utf-8")
    (root / "cedr" / "cedr-main-train.csv").write_text(
        "text,labels\nРада,[0]\nСтрашно,[3]\nСтол,[]\n", encoding="utf-8"
    )
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an untrained encoder with a Unigram vocabulary of both languages."""
    folder = tmp_path_factory.mktemp("base")
    words = [word for pair in [*((ru, en) for ru, en, _, _ in WORDS), *FILLING] for word in pair]
    letters = sorted({letter for word in words for letter in word})
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "!", *(f"▁{word}" for word in words), *letters]
    inner = Tokenizer(Unigram([(piece, -float(at > 3)) for at, piece in enumerate(dict.fromkeys(pieces))], unk_id=3))
    inner.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        pad_token_id=1,
        initializer_range=0.2,  # A new encoder this small learns little from the usual 0.02.
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def fit(data: Path, base: Path, output: Path, *options: str) -> None:
    arguments = ["fit", "--data", *map(str, sorted(data.iterdir())), "--base", str(base), "--output", str(output)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--batch-size", "8", "--lr", "2e-3", *options])
    assert not ended.value.code


@pytest.fixture(scope="module")
def bundle(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("models") / "small"
    fit(data, base, output, "--folds", "2", "--teacher-epochs", "40", "--epochs", "30", "--side-epochs", "2")
    return output


def test_the_bundle_opens_with_a_plain_pipeline_and_finds_the_emotion(bundle: Path) -> None:
    classify: Any = pipeline("text-classification", model=str(bundle), top_k=None, function_to_apply="sigmoid")
    for word, _, label, _ in WORDS:
        [answers] = classify([f"ну вот {word}"])
        assert {answer["label"] for answer in answers} == set(EMOTIONS)
        assert answers[0]["label"] == label
        assert answers[0]["score"] > 0.5 > answers[1]["score"]


def test_the_manifest_is_one_the_worker_serves(bundle: Path, data: Path) -> None:
    manifest = read_manifest((bundle / MANIFEST).read_bytes())
    assert manifest.metrics["rows"] == {"cedr": 3, "goemotions": 112, "ru_go_emotions": 112}
    for half in manifest.metrics["cross_fitted"]:
        assert half["measured"]["weighted_f1"] > 0.9
    assert str(data) not in (bundle / MANIFEST).read_text(encoding="utf-8")


def test_the_vocabulary_holds_no_english_words(bundle: Path, base: Path) -> None:
    kept = AutoTokenizer.from_pretrained(bundle).get_vocab()
    assert "▁angry" in AutoTokenizer.from_pretrained(base).get_vocab()
    assert "▁angry" not in kept
    assert "▁злюсь" in kept


def test_evaluate_prints_and_writes_the_figures_of_the_manifest(
    bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "metrics.json"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--model", str(bundle), "--data", str(data), "--json", str(written)])
    assert not ended.value.code
    assert "weighted F1" in capsys.readouterr().out
    served = json.loads(written.read_text(encoding="utf-8"))["ru_go_emotions"]["as_served"]
    expected = read_manifest((bundle / MANIFEST).read_bytes()).metrics["as_served"]
    assert np.isclose(served["weighted_f1"], expected["weighted_f1"], atol=1e-6)


def test_labels_alone_do_too(data: Path, base: Path, tmp_path: Path) -> None:
    fit(data, base, tmp_path / "plain", "--folds", "0", "--epochs", "1", "--side-epochs", "1")
    assert (tmp_path / "plain" / MANIFEST).is_file()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"--data": "nowhere/nothing"}, "neither a folder nor a set"),
        ({"--base": "/nonexistent"}, "cannot be opened as an encoder"),
        ({"--output": "."}, "exists"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_2(
    *, wrong: dict[str, str], complaint: str, data: Path, base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"--data": str(data), "--base": str(base), "--output": str(tmp_path / "new"), "--folds": "0", **wrong}
    with pytest.raises(SystemExit) as ended:
        main(["fit", *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("emotion-training: ")
    assert complaint in last

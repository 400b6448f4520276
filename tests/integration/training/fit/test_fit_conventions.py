"""A fit on calls and on public sets gives one network with an output head for each convention."""

from pathlib import Path

import numpy as np
import pytest
from fits import FILLING, OTHERS, QUICK, WORDS, arguments
from transformers import AutoModelForSequenceClassification

from registry.load import load_bundle
from schemas.bundle import MANIFEST, Manifest, read_manifest
from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.examples import CALLS, PUBLIC
from training.learn.network import score

ALONE = [
    *QUICK,
    "teaching.folds=0",
    "learning.own_weight=0",
    "learning.epochs.mine=120",
    "measured=[mine,ru_go_emotions]",
]


def in_calls(label: str) -> str:
    """In calls, what the public sets take for surprise is neutral."""
    return "neutral" if label == "surprise" else label


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("own") / "mine.csv"
    said = [
        f"{around} {word} {split},{in_calls(label)},{split}"
        for split, filling in (("train", FILLING), ("validation", OTHERS), ("test", OTHERS))
        for around, _ in filling
        for word, _, label, _ in WORDS
    ]
    file.write_text("\n".join(["text,emotions,split", *said, "алло,surprise,train"]), encoding="utf-8")
    return file


def fit(data: Path, table: Path, base: Path, output: Path, settings: list[str], *recipe: str) -> Manifest:
    words = arguments(data, base, output, settings)
    words.insert(words.index("--data") + 1, str(table))
    words += recipe
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    return read_manifest((output / MANIFEST).read_bytes())


@pytest.fixture(scope="module")
def bundle(data: Path, base: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("models") / "both"
    fit(data, table, base, output, [*ALONE, f"teaching.unlabelled=[{data / 'lines.txt'}]"])
    return output


def answers(folder: Path, convention: str) -> Floats:
    model, tokenizer, manifest = load_bundle(folder)
    texts = [f"ну вот {word}" for word, *_ in WORDS]
    return score(model, tokenizer, texts, 64, columns=len(manifest.outputs))[:, manifest.columns(convention)]


def likeliest(folder: Path, convention: str) -> list[str]:
    return [EMOTIONS[at] for at in np.argmax(answers(folder, convention), axis=1)]


def test_each_head_says_what_its_convention_means(bundle: Path) -> None:
    assert likeliest(bundle, PUBLIC) == [label for _, _, label, _ in WORDS]
    surprise, neutral = EMOTIONS.index("surprise"), EMOTIONS.index("neutral")
    own, public = (answers(bundle, name)[surprise] for name in (CALLS, PUBLIC))
    assert own[neutral] > public[neutral]
    assert own[surprise] < 0 < public[surprise]


def test_calls_come_first_and_each_convention_has_its_rule_and_its_figures(bundle: Path) -> None:
    manifest = read_manifest((bundle / MANIFEST).read_bytes())
    assert (manifest.convention, manifest.neutral) == (CALLS, "exclusive")
    assert {name: tuning.neutral for name, tuning in manifest.others.items()} == {PUBLIC: "independent"}
    calls, public = manifest.metrics, manifest.metrics["others"][PUBLIC]
    assert calls["as_served"]["rows"] == calls["unseen"]["rows"] == 35
    assert (public["as_served"]["rows"], "unseen" in public) == (56, False)
    assert min(calls["as_served"]["weighted_f1"], calls["unseen"]["weighted_f1"]) > 0.8
    assert all(half["measured"]["weighted_f1"] > 0.8 for half in public["cross_fitted"])


def test_plain_transformers_open_it(bundle: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(bundle)
    manifest = read_manifest((bundle / MANIFEST).read_bytes())
    assert model.config.id2label == dict(enumerate(manifest.outputs))
    assert model.num_labels == 14


def test_the_card_shows_both(bundle: Path) -> None:
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "mine validation in ASR form" in card
    assert "ru_go_emotions validation in ASR form" in card
    assert "rows of the same source that nobody trained on or tuned by" in card
    assert "assigned exactly where no other emotion is" in " ".join(card.split())


FEW = ["learning.epochs.mine=10", "learning.epochs.ru_go_emotions=5", "learning.learning_rate=2e-3"]
FEW += ["learning.batch_size=16", "measured=[mine,ru_go_emotions]"]


def test_a_bundle_of_one_convention_goes_on_as_two_and_teaches_its_own(
    data: Path, base: Path, table: Path, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    with pytest.raises(SystemExit):
        main(arguments(data, base, public, [*ALONE, "learning.epochs.ru_go_emotions=20"]))
    alone = read_manifest((public / MANIFEST).read_bytes())
    assert (alone.convention, alone.neutral, alone.others) == (PUBLIC, "independent", {})
    settings = [*FEW, f"teaching.bundle={public}", f"teaching.unlabelled=[{data / 'lines.txt'}]"]
    manifest = fit(data, table, public, tmp_path / "both", settings, "--recipe", "ru-emotions-small")
    assert list(manifest.tunings) == [CALLS, PUBLIC]
    surprise = EMOTIONS.index("surprise")
    own, public_said = (answers(tmp_path / "both", name)[surprise, surprise] for name in (CALLS, PUBLIC))
    assert own < public_said
    assert manifest.metrics["rows_before"] == sorted(alone.metrics["rows"])


def test_a_student_of_fewer_layers_learns_lines_from_both_heads_of_a_bundle(
    data: Path, table: Path, bundle: Path, tmp_path: Path
) -> None:
    settings = [*FEW, "layers=1", f"teaching.bundle={bundle}", f"teaching.unlabelled=[{data / 'lines.txt'}]"]
    fit(data, table, bundle, tmp_path / "tiny", settings, "--recipe", "ru-emotions-tiny")
    model, *_ = load_bundle(tmp_path / "tiny")
    assert (model.config.num_hidden_layers, len(model.bert.encoder.layer)) == (1, 1)
    assert model.num_labels == 14

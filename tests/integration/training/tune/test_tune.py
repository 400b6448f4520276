"""The command tune, on a bundle of an untrained model whose labels are what its own outputs say, but elsewhere."""

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import BOTH, WORDS, make_bundle

from registry.contents import files_of, manifest_at
from registry.load import load_bundle
from registry.onnx_export import export_onnx
from schemas.bundle import CARD, KNOWN_TEXTS
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.known_texts import known_texts
from training.data.splits import identity
from training.learn.network import score
from training.tune.thresholds import apply_tuning
from worker.inference.classifier import EmotionClassifier, Reading

TEXTS = [" ".join(words) for words in combinations(WORDS[:12], 4)][:120]
SHARE = 0.25


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose thresholds lie far above what its scores reach, with an ONNX file."""
    folder = tmp_path_factory.mktemp("models") / "made"
    make_bundle(folder, thresholds=dict.fromkeys(EMOTIONS, 0.97), metrics={"rows": {"cedr": 9}})
    (folder / CARD).write_text("---\nlanguage: ru\n---\n\n# made\n\nSays what it says.\n", encoding="utf-8")
    (folder / "notes.txt").write_text("ours", encoding="utf-8")
    export_onnx(folder, int8=False)
    return folder


def said_by(model: Path, columns: slice = slice(0, 7)) -> list[list[str]]:
    """Return what each text carries: an emotion is in the quarter where the network's output for it is highest."""
    network, tokenizer, manifest = load_bundle(model)
    logits = score(network, tokenizer, TEXTS, manifest.max_tokens, columns=len(manifest.outputs))[:, columns]
    there = logits > np.quantile(logits, 1 - SHARE, axis=0)
    return [[emotion for emotion, yes in zip(EMOTIONS, row, strict=True) if yes] for row in there]


def table(file: Path, emotions: list[list[str]], **more: list[str]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["text", "emotions", *more])
        rows.writerows(zip(TEXTS, (" ".join(names) or "neutral" for names in emotions), *more.values(), strict=False))
    return file


def command(model: Path, data: Path, output: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["tune", "--model", str(model), "--data", str(data), "--output", str(output), *more])
    return int(ended.value.code or 0)


def test_a_tuned_bundle_has_a_version_of_its_own_says_what_it_is_and_is_served(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [[name for name in names if name != "disgust"] for names in said_by(model)]
    data = table(tmp_path / "labels.csv", labels)
    assert command(model, data, tmp_path / "tuned") == 0
    said = capsys.readouterr().out
    old, new = manifest_at(str(model)), manifest_at(str(tmp_path / "tuned"))
    assert said.splitlines()[-1] == f"{tmp_path / 'tuned'} holds {new.version}"
    assert "stays: no label" in said
    assert "pass  weighted F1: 0.0000" in said
    assert new.version.startswith("tuned-")
    assert files_of(str(tmp_path / "tuned")).keys() == files_of(str(model)).keys() | {KNOWN_TEXTS}
    known = known_texts(str(tmp_path / "tuned"))
    assert all(known.holds(identity(text)) for text in TEXTS), "they would flatter its thresholds"
    assert not (tmp_path / "tuned" / "notes.txt").exists()
    assert new.thresholds["disgust"] == old.thresholds["disgust"]
    assert new.calibration["disgust"] == old.calibration["disgust"]
    told = new.metrics["tuned"]
    assert (told["from"], told["labels"], told["convention"]) == (old.version, len(TEXTS), "public")
    assert told["before"]["weighted_f1"] < told["after"]["weighted_f1"]
    assert new.metrics["rows"] == old.metrics["rows"]
    card = (tmp_path / "tuned" / CARD).read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage: ru\n---\n\n# made\n\n## Tuned\n")
    assert all(each in card for each in (old.version, new.version, "120 more", "Says what it says."))

    by_torch, by_onnx = (
        EmotionClassifier(str(tmp_path / "tuned"), "cpu", backend=backend) for backend in ("torch", "onnx")
    )
    scores = by_torch.classify(TEXTS)
    assert by_onnx.classify(TEXTS) == pytest.approx(scores, abs=0.02)
    network, tokenizer, _ = load_bundle(tmp_path / "tuned")
    tuned = apply_tuning(new.tuning(), score(network, tokenizer, TEXTS, new.max_tokens))
    assert scores == pytest.approx(tuned.scores, abs=0.02)
    assert by_torch.rule.assign(tuned.scores).tolist() == tuned.rule.assign(tuned.scores).tolist()


def test_where_nothing_is_won_nothing_is_written_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = np.random.default_rng(0)
    labels = [[EMOTIONS[chance.integers(7)]] if chance.random() < 0.9 else [] for _ in TEXTS]
    right = tmp_path / "right"
    make_bundle(right, thresholds=dict.fromkeys(EMOTIONS, 0.0))
    assert command(right, table(tmp_path / "labels.csv", labels), tmp_path / "tuned") == 1
    said = capsys.readouterr().out
    assert "FAIL  weighted F1" in said
    assert said.splitlines()[-1].startswith("not kept")
    assert not (tmp_path / "tuned").exists()
    assert list(tmp_path.glob(".tuned*")) == []


def test_sessions_stay_whole_and_rows_of_a_test_split_are_left_alone(model: Path, tmp_path: Path) -> None:
    sessions = [f"call-{at // 5}" for at in range(len(TEXTS))]
    split = ["test" if at < 20 else "validation" if at < 40 else "" for at in range(len(TEXTS))]
    data = table(tmp_path / "labels.csv", said_by(model), session_id=sessions, split=split)
    assert command(model, data, tmp_path / "tuned") == 0
    told = manifest_at(str(tmp_path / "tuned")).metrics["tuned"]
    assert (told["labels"], told["groups"]) == (100, 20)


def test_one_convention_is_tuned_and_the_other_stays(tmp_path: Path) -> None:
    both: dict[str, Any] = {**BOTH, "thresholds": dict.fromkeys(EMOTIONS, 0.5)}
    make_bundle(tmp_path / "both", **both)
    data = table(tmp_path / "labels.csv", said_by(tmp_path / "both", slice(7, 14)))
    assert command(tmp_path / "both", data, tmp_path / "tuned", "--convention", "public") == 0
    old, new = (manifest_at(str(tmp_path / name)) for name in ("both", "tuned"))
    assert (new.thresholds, new.calibration, new.neutral) == (old.thresholds, old.calibration, old.neutral)
    assert new.others["public"] != old.others["public"]
    assert new.metrics["tuned"]["convention"] == "public"
    served = EmotionClassifier(str(tmp_path / "tuned"), "cpu", reading=Reading(convention="public"))
    network, tokenizer, manifest = load_bundle(tmp_path / "tuned")
    logits = score(network, tokenizer, TEXTS, manifest.max_tokens, columns=14)[:, 7:]
    assert served.classify(TEXTS) == pytest.approx(apply_tuning(new.tuning("public"), logits).scores, abs=0.02)


def test_labels_of_another_convention_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_bundle(tmp_path / "both", **BOTH)
    data = table(tmp_path / "cedr.csv", said_by(tmp_path / "both"))
    assert command(tmp_path / "both", data, tmp_path / "tuned") == 2
    assert "cedr follows the convention public, and calls is to be tuned" in capsys.readouterr().err
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"output": "there"}, "there exists. Name a new folder with --output"),
        ({"model": "nowhere"}, "nowhere holds no complete bundle"),
        ({"data": "few.csv"}, "there are 9 labels to tune to, and 50 are the fewest: label more texts"),
        ({"data": "none.csv"}, "none.csv cannot be read"),
        ({"more": ["--convention", "clinic"]}, "knows no convention 'clinic': name one of public"),
    ],
)
def test_what_cannot_be_tuned_ends_with_one_line_that_says_what_to_do(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], message: str
) -> None:
    labels = said_by(model)
    table(tmp_path / "labels.csv", labels)
    table(tmp_path / "few.csv", labels[:9])
    (tmp_path / "there").mkdir()
    given = {"model": str(model), "data": "labels.csv", "output": "tuned", "more": []} | changed
    folder = tmp_path / given["model"]
    assert command(folder, tmp_path / given["data"], tmp_path / given["output"], *given["more"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert json.loads(said[-1])["level"] == "error"
    assert message in said[-1]
    assert not (tmp_path / "tuned").exists()

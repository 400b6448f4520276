"""A fit that goes on from a bundle begins with what the bundle says, and keeps what it has no rows to change."""

import json
from pathlib import Path

import numpy as np
import pytest
from bundles import TEXTS, make_bundle

from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main
from training.errors import UnusableModel
from training.network import keep_served, score, warm_start
from training.served import Served, open_served
from training.thresholds import probabilities


def calibrated(model: Served) -> np.ndarray:
    scores: np.ndarray = model.scores(model.logits(TEXTS))
    return scores


def test_every_head_begins_as_the_bundle(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path / "made"))
    expected = calibrated(open_served(folder))
    model, tokenizer = warm_start(folder, 3 * len(EMOTIONS), seed=0)
    heads = probabilities(score(model, tokenizer, TEXTS, 64, columns=3 * len(EMOTIONS)))
    for head in np.hsplit(heads, 3):
        np.testing.assert_allclose(head, expected, atol=1e-5)
    keep_served(model)
    np.testing.assert_allclose(probabilities(score(model, tokenizer, TEXTS, 64)), expected, atol=1e-5)


def test_what_is_no_bundle_is_none_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="is no bundle"):
        warm_start(tmp_path, 7, seed=0)


def test_an_emotion_without_rows_enough_keeps_its_threshold_and_its_calibration(tmp_path: Path) -> None:
    thresholds = dict.fromkeys(EMOTIONS, 0.25) | {"fear": 0.125}
    folder = make_bundle(tmp_path / "made", thresholds=thresholds)
    table = tmp_path / "mine.csv"
    said = ["anger"] * 12 + ["joy"] * 9 + ["fear"]
    lines = [
        f"слово {at} {split},{emotion},{split}" for split in ("train", "validation") for at, emotion in enumerate(said)
    ]
    table.write_text("\n".join(["text,emotions,split", *lines]), encoding="utf-8")
    output = tmp_path / "again"
    settings = [
        "warm_start=true",
        "measured=mine",
        "fewest_positives=10",
        "learning.epochs.other=1",
        "teaching.folds=0",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--data", str(table), "--base", folder, "--output", str(output), "--set", *settings])
    assert not ended.value.code
    manifest = read_manifest((output / MANIFEST).read_bytes())
    assert manifest.metrics["kept_thresholds"] == [emotion for emotion in EMOTIONS if emotion != "anger"]
    kept = {name: value for name, value in manifest.thresholds.items() if name != "anger"}
    assert kept == {name: value for name, value in thresholds.items() if name != "anger"}
    folded = manifest.metrics["folded_calibration"]
    assert folded["joy"] == {"scale": 1.0, "bias": 0.0}
    assert folded["anger"] != {"scale": 1.0, "bias": 0.0}
    assert open_served(output).manifest.version == manifest.version
    assert vocabulary(output) == vocabulary(Path(folder))


def vocabulary(folder: Path) -> object:
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]

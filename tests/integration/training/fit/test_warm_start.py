"""A fit that goes on from a bundle begins with what the bundle says, and keeps what it has no rows to change."""

import json
from pathlib import Path

import numpy as np
import pytest
from bundles import BOTH, TEXTS, make_bundle

from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main
from training.data.examples import CALLS, PUBLIC
from training.errors import UnusableModel
from training.evaluate.predictor import Served, open_served
from training.evaluate.thresholds import probabilities
from training.learn.network import keep_outputs, score, warm_start


def calibrated(model: Served) -> np.ndarray:
    scores: np.ndarray = model.scores(model.logits(TEXTS))
    return scores


def test_every_head_begins_as_the_bundle(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path / "made"))
    expected = calibrated(open_served(folder))
    model, tokenizer = warm_start(folder, [CALLS, PUBLIC, CALLS], seed=0)
    heads = probabilities(score(model, tokenizer, TEXTS, 64, columns=3 * len(EMOTIONS)))
    for head in np.hsplit(heads, 3):
        np.testing.assert_allclose(head, expected, atol=1e-5)
    keep_outputs(model, {emotion: at for at, emotion in enumerate(EMOTIONS)})
    np.testing.assert_allclose(probabilities(score(model, tokenizer, TEXTS, 64)), expected, atol=1e-5)


def test_a_head_begins_as_the_bundle_in_its_convention_else_in_the_default_one(tmp_path: Path) -> None:
    folder = Path(make_bundle(tmp_path / "made", **BOTH))
    names = [PUBLIC, "forum", CALLS]
    model, tokenizer = warm_start(folder, names, seed=0)
    heads = probabilities(score(model, tokenizer, TEXTS, 64, columns=3 * len(EMOTIONS)))
    calls, public = (calibrated(open_served(folder, name)) for name in (CALLS, PUBLIC))
    assert np.abs(calls - public).max() > 0.1
    for head, expected in zip(np.hsplit(heads, 3), (public, calls, calls), strict=True):
        np.testing.assert_allclose(head, expected, atol=1e-5)


def test_who_goes_on_from_two_conventions_with_labels_of_one_keeps_both(tmp_path: Path) -> None:
    folder, table, output = make_bundle(tmp_path / "made", **BOTH), tmp_path / "mine.csv", tmp_path / "again"
    said = [(split, *row) for split in ("train", "validation") for row in enumerate(EMOTIONS * 3)]
    lines = [f"слово {at} {split},{emotion},{split}" for split, at, emotion in said]
    table.write_text("\n".join(["text,emotions,split", *lines]), encoding="utf-8")
    settings = ["warm_start=true", "measured=mine", "learning.epochs.other=1", "teaching.folds=0"]
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--data", str(table), "--base", folder, "--output", str(output), "--set", *settings])
    assert not ended.value.code
    manifest = read_manifest((output / MANIFEST).read_bytes())
    assert list(manifest.tunings) == [CALLS, PUBLIC]
    assert (manifest.tuning().neutral, manifest.tuning(PUBLIC).neutral) == ("exclusive", "independent")
    assert manifest.tuning(PUBLIC).thresholds == pytest.approx(BOTH["others"][PUBLIC].thresholds)
    assert calibrated(open_served(output, PUBLIC)).shape == (len(TEXTS), len(EMOTIONS))


def test_what_is_no_bundle_is_none_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="holds no complete bundle"):
        warm_start(tmp_path, [CALLS], seed=0)


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

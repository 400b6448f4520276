"""Teachers leave a bundle like any other."""

from pathlib import Path

import numpy as np
import pytest
from fits import ENCODERS, QUICK, arguments, make_base
from transformers import AutoModelForSequenceClassification

from schemas.bundle import MANIFEST, read_manifest
from schemas.emotions import EMOTIONS
from training.cli import main
from training.learn.checkpoints import Checkpoints


def test_teachers_leave_a_plain_bundle(data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the teachers said is looked at below.
    monkeypatch.setattr(Checkpoints, "discard", lambda _: None)
    bundle = tmp_path / "models" / "small"
    settings = [*QUICK, "learning.batch_size=8", "teaching.batch_size=8"]
    with pytest.raises(SystemExit) as ended:
        main(arguments(data, base, bundle, settings))
    assert not ended.value.code

    said = {path.stem: np.load(path) for path in bundle.parent.glob(".small.checkpoints/teacher-*.npy")}
    assert sorted(said) == ["teacher-0-0", "teacher-0-1"]
    assert {scores.shape[1] for scores in said.values()} == {len(EMOTIONS)}
    for half in read_manifest((bundle / MANIFEST).read_bytes()).metrics["cross_fitted"]:
        assert half["measured"]["weighted_f1"] > 0.9
    model = AutoModelForSequenceClassification.from_pretrained(bundle)
    assert model.config.id2label == dict(enumerate(EMOTIONS))


def test_an_encoder_that_knows_english_alone_teaches_by_the_originals(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "discard", lambda _: None)
    english, bundle = make_base(tmp_path / "english", ENCODERS[0]), tmp_path / "models" / "small"
    settings = [*QUICK, f"teaching.bases=[{english}]", "teaching.epochs=5", "learning.epochs.ru_go_emotions=1"]
    with pytest.raises(SystemExit) as ended:
        main(arguments(data, base, bundle, settings))
    assert not ended.value.code
    said = {path.stem: np.load(path) for path in bundle.parent.glob(".small.checkpoints/teacher-*.npy")}
    assert sorted(said) == ["teacher-0-0", "teacher-0-1", "teacher-1-0", "teacher-1-1"]
    assert said["teacher-0-0"].shape == said["teacher-1-0"].shape
    assert not np.allclose(said["teacher-0-0"], said["teacher-1-0"])
    assert "4 teachers, some of them of" in (bundle / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", ["teaching.unlabelled", "teaching.bases"])
def test_what_is_not_there_comes_to_light_before_anything_is_fitted(
    setting: str, data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "models" / "small"
    with pytest.raises(SystemExit) as ended:
        main(arguments(data, base, bundle, [*QUICK, f"{setting}=[{tmp_path / 'nowhere'}]"]))
    assert ended.value.code
    assert setting in capsys.readouterr().err.splitlines()[-1]
    assert not list(bundle.parent.glob(".small.checkpoints/teacher-*"))

"""A bundle teaches by its scores, in the conventions that it knows and no other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import BOTH, TEXTS, make_bundle

from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, PUBLIC, Examples
from training.distill.bundle_teacher import BundleTeacher
from training.evaluate.predictor import open_served
from training.learn.checkpoints import Checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(make_bundle(tmp_path / "both", **BOTH))


def rows(convention: str, language: str = "ru") -> Examples:
    """Rows that all carry anger, and whose annotators were not asked for disgust."""
    targets = np.zeros((len(TEXTS), len(EMOTIONS)), np.float32)
    targets[:, 0] = 1
    annotated = np.ones_like(targets, np.bool_)
    annotated[:, 1] = False
    ids = [str(at) for at in range(len(TEXTS))]
    return Examples("mine", language, ids, TEXTS, targets, annotated, conventions=(convention,))


def test_labels_are_mixed_with_scores_and_what_nobody_was_asked_for_is_scored(folder: Path, tmp_path: Path) -> None:
    teacher, checkpoints = BundleTeacher(folder), Checkpoints(tmp_path / "new", "run")
    for at, convention in enumerate((CALLS, PUBLIC)):
        served = open_served(folder, convention)
        said = served.scores(served.logits(TEXTS))
        taught = teacher.teach(at, rows(convention), 0.7, checkpoints)
        assert taught.annotated.all()
        np.testing.assert_allclose(taught.targets[:, 0], 0.7 + 0.3 * said[:, 0], atol=1e-5)
        np.testing.assert_allclose(taught.targets[:, 1], said[:, 1], atol=1e-5)


def test_other_conventions_and_other_languages_keep_their_labels(folder: Path, tmp_path: Path) -> None:
    teacher, checkpoints = BundleTeacher(folder), Checkpoints(tmp_path / "new", "run")
    for examples in (rows("chats"), rows(PUBLIC, "en"), replace(rows(PUBLIC), conventions=(PUBLIC, "chats"))):
        assert teacher.teach(0, examples, 0.5, checkpoints) is examples

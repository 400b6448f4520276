"""Thresholds, calibration and the figures made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from schemas.bundle import Calibration
from schemas.emotions import EMOTIONS
from training.evaluation import calibration_error, cross_fitted, measure
from training.thresholds import best_thresholds, platt, probabilities

COLUMNS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30)


@given(COLUMNS)
def test_no_threshold_has_a_better_f1(column: list[tuple[int, bool]]) -> None:
    scores = np.array([[score / 20] for score, _ in column], np.float32)
    targets = np.array([[label] for _, label in column], np.float32)
    found = f1_score(targets, scores >= best_thresholds(scores, targets), zero_division=0, average="binary")
    tried = [f1_score(targets, scores >= limit / 40, zero_division=0, average="binary") for limit in range(42)]
    assert found == pytest.approx(max(tried))


def test_a_threshold_lies_between_two_scores() -> None:
    scores = np.array([[0.9], [0.6], [0.2]], np.float32)
    assert best_thresholds(scores, np.array([[1], [1], [0]], np.float32)) == pytest.approx([0.4])


def test_an_emotion_that_never_occurs_has_the_threshold_one_half() -> None:
    assert best_thresholds(np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)) == [0.5]


def test_platt_finds_scale_and_bias_again() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 1)).astype(np.float32)
    truth = probabilities(logits, [Calibration(scale=0.5, bias=-1.0)])
    targets = (random.random(truth.shape) < truth).astype(np.float32)
    [found] = platt(logits, targets)
    assert (found.scale, found.bias) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.0, abs=0.05))


def test_platt_leaves_an_emotion_alone_that_never_occurs() -> None:
    assert platt(np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)) == [Calibration()]


def test_the_calibration_error_is_the_gap_between_score_and_share() -> None:
    scores = np.array([0.25, 0.25, 0.25, 0.25], np.float32)
    assert calibration_error(scores, np.array([1, 0, 0, 0], np.float32)) == pytest.approx(0)
    assert calibration_error(scores, np.array([1, 1, 1, 1], np.float32)) == pytest.approx(0.75)


def test_weighted_and_macro_f1_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    targets = (random.random((200, len(EMOTIONS))) < 0.3).astype(np.float32)
    scores = random.random(targets.shape).astype(np.float32)
    thresholds = np.full(len(EMOTIONS), 0.6, np.float32)
    figures = measure(scores, targets, thresholds)
    assert figures["weighted_f1"] == pytest.approx(f1_score(targets, scores >= thresholds, average="weighted"))
    assert figures["macro_f1"] == pytest.approx(f1_score(targets, scores >= thresholds, average="macro"))


def test_cross_fitting_measures_only_rows_that_were_not_tuned_on() -> None:
    random = np.random.default_rng(2)
    targets = (random.random((100, len(EMOTIONS))) < 0.5).astype(np.float32)
    logits = random.normal(0, 1, targets.shape).astype(np.float32)
    half = np.array([0] * 30 + [1] * 70)
    first, second = cross_fitted(logits, targets, half)
    assert (first["tuned"]["rows"], first["measured"]["rows"]) == (30, 70)
    assert (second["tuned"]["rows"], second["measured"]["rows"]) == (70, 30)

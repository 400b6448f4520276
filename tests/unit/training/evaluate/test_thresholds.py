"""Thresholds, calibration, and the probabilities they make."""

from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.bundle import Calibration
from schemas.decisions import Rule
from training.evaluate.metrics import counts, f1_scores
from training.evaluate.thresholds import choose_thresholds, platt, probabilities

COLUMNS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30)
TABLES = arrays(np.int8, st.tuples(st.integers(1, 8), st.just(7), st.just(3)), elements=st.integers(0, 20))


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def column(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets of one emotion."""
    return np.array([[score] for score, _ in rows], np.float32), np.array([[label] for _, label in rows], np.float32)


def figures(cut: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of one emotion."""
    hits, assigned, present = (cut * targets).sum(), max(cut.sum(), 1), max(targets.sum(), 1)
    return hits / assigned, hits / present, 2 * hits / (cut.sum() + present)


@given(COLUMNS)
def test_no_threshold_has_a_better_f1(rows: list[tuple[int, bool]]) -> None:
    scores, targets = column([(score / 20, label) for score, label in rows])
    tried = [figures(scores >= limit / 40, targets)[2] for limit in range(42)]
    assert figures(scores >= choose_thresholds(scores, targets), targets)[2] == pytest.approx(max(tried))


@given(COLUMNS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_of_the_thresholds_that_are_precise_enough_none_finds_more(rows: list[tuple[int, bool]], wanted: float) -> None:
    scores, targets = column([(score / 20, label) for score, label in rows])
    precision, recall, _ = figures(scores >= choose_thresholds(scores, targets, "precision", precision=wanted), targets)
    tried = [figures(scores >= limit / 40, targets) for limit in range(42)]
    enough = [found for exact, found, _ in tried if exact >= wanted]
    if targets.any() and any(enough):
        assert precision >= wanted
        assert recall == pytest.approx(max(enough))


def test_where_no_threshold_is_precise_enough_the_most_precise_one_is_taken_and_said(
    logged: list[structlog.typing.EventDict],
) -> None:
    scores, targets = column([(0.9, False), (0.8, True), (0.7, True), (0.6, False), (0.2, False)])
    assert choose_thresholds(scores, targets, "precision", precision=0.9) == pytest.approx([0.65])
    assert logged == [
        {
            "event": "no threshold is as precise as wanted",
            "log_level": "warning",
            "emotion": "anger",
            "wanted": 0.9,
            "best": 0.667,
        }
    ]


def together(rule: Rule, scores: np.ndarray, targets: np.ndarray, known: np.ndarray) -> float:
    """Macro F1 of what was annotated, and exact match of the rows that were annotated in whole."""
    counted, whole = counts(scores, targets, rule, known), known.all(1)
    right = (rule.assign(scores) == targets).all(1)[whole]
    occurs = counted[2].sum(0) > 0
    return float(f1_scores(*counted)[occurs].sum() / max(occurs.sum(), 1) + right.sum() / max(whole.sum(), 1))


@given(TABLES)
def test_thresholds_for_exclusive_neutral_are_no_worse_than_each_emotions_own_and_no_single_move_is_better(
    table: np.ndarray,
) -> None:
    scores, targets, known = np.moveaxis(table, 2, 0)
    scores, targets, known = (scores / 20).astype(np.float32), (targets % 2).astype(np.float32), known > 4
    targets *= known
    chosen = choose_thresholds(scores, targets, annotated=known, neutral="exclusive")
    best = together(Rule(chosen, "exclusive"), scores, targets, known)
    own = choose_thresholds(scores, targets, annotated=known)
    assert best >= together(Rule(own, "exclusive"), scores, targets, known) - 1e-6
    for at in np.flatnonzero(targets[:, :-1].any(0)):
        for limit in range(int(scores[:, at].max() * 40) + 1):
            moved = chosen.copy()
            moved[at] = limit / 40
            assert best >= together(Rule(moved, "exclusive"), scores, targets, known) - 1e-6


def test_a_threshold_gives_way_where_neutral_gains_more_than_the_emotion_loses() -> None:
    anger = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], np.float32)
    scores, targets = np.zeros((6, 7), np.float32), np.zeros((6, 7), np.float32)
    scores[:, 0] = anger
    targets[[0, 4], 0], targets[[1, 2, 3, 5], -1] = 1, 1
    assert choose_thresholds(scores, targets)[0] == pytest.approx(0.85)
    targets[[1, 2], -1], targets[[1, 2], 0] = 0, 1
    assert choose_thresholds(scores, targets)[0] == pytest.approx(0.45)
    assert choose_thresholds(scores, targets, neutral="exclusive")[0] == pytest.approx(0.65)


def test_a_threshold_lies_between_two_scores() -> None:
    scores, targets = column([(0.9, True), (0.6, True), (0.2, False)])
    assert choose_thresholds(scores, targets) == pytest.approx([0.4])


@pytest.mark.parametrize("aim", ["f1", "precision"])
def test_an_emotion_that_never_occurs_has_the_threshold_one_half(aim: str) -> None:
    assert choose_thresholds(np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32), aim) == [0.5]


def test_rows_in_which_an_emotion_was_not_annotated_have_no_say() -> None:
    scores, targets = column([(0.9, True), (0.5, True), (0.8, False), (0.1, False)])
    known = np.array([[True], [True], [False], [True]])
    assert choose_thresholds(scores, targets, annotated=known) == pytest.approx([0.3])
    assert choose_thresholds(scores, targets, "precision", precision=1.0, annotated=known) == pytest.approx([0.3])
    assert platt(scores, targets, known) == platt(scores[[0, 1, 3]], targets[[0, 1, 3]])


def test_platt_finds_scale_and_bias_again() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 1)).astype(np.float32)
    truth = probabilities(logits, [Calibration(scale=0.5, bias=-1.0)])
    targets = (random.random(truth.shape) < truth).astype(np.float32)
    [found] = platt(logits, targets)
    assert (found.scale, found.bias) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1.0, abs=0.05))


@pytest.mark.parametrize("rows", [0, 3])
def test_platt_leaves_an_emotion_alone_that_never_occurs(rows: int) -> None:
    assert platt(np.ones((rows, 1), np.float32), np.zeros((rows, 1), np.float32)) == [Calibration()]

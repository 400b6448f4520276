"""The figures: measures, bootstrap intervals, and what the report breaks down."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.evaluate.breakdowns import break_down, compare_decisions, mistakes
from training.evaluate.metrics import (
    calibration_error,
    counts,
    cross_fitted,
    f1_scores,
    from_other_half,
    interval,
    measure,
    resampled_f1,
)
from training.evaluate.thresholds import choose_thresholds, platt, probabilities

RULE = Rule(np.full(len(EMOTIONS), 0.6, np.float32))


def drawn(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets that have something to do with each other."""
    random = np.random.default_rng(seed)
    targets = (random.random((rows, len(EMOTIONS))) < 0.3).astype(np.float32)
    return ((random.random(targets.shape) + targets) / 2).astype(np.float32), targets


def examples(targets: np.ndarray, texts: list[str] | None = None) -> Examples:
    texts = texts or [" ".join(f"слово{n}" for n in range(1 + at % 30)) for at in range(len(targets))]
    ids = [str(at) for at in range(len(targets))]
    return Examples("mine", "ru", ids, texts, targets, np.ones(targets.shape, np.bool_))


def test_the_calibration_error_is_the_gap_between_score_and_share() -> None:
    scores = np.array([0.25, 0.25, 0.25, 0.25], np.float32)
    assert calibration_error(scores, np.array([1, 0, 0, 0], np.float32)) == pytest.approx(0)
    assert calibration_error(scores, np.array([1, 1, 1, 1], np.float32)) == pytest.approx(0.75)


def test_weighted_and_macro_f1_are_scikit_learns() -> None:
    scores, targets = drawn(200)
    figures = measure(scores, targets, RULE)
    assert figures["weighted_f1"] == pytest.approx(f1_score(targets, scores >= RULE.thresholds, average="weighted"))
    assert figures["macro_f1"] == pytest.approx(f1_score(targets, scores >= RULE.thresholds, average="macro"))
    six = f1_score(targets[:, :6], scores[:, :6] >= 0.6, average="macro")
    assert figures["macro_f1_emotions"] == pytest.approx(six)


def test_an_emotion_that_nobody_was_asked_for_counts_nowhere() -> None:
    scores, targets = drawn(200)
    known = np.ones(targets.shape, np.bool_)
    known[:, 1] = False
    figures = measure(scores, targets, RULE, known)
    assert "disgust" not in figures["emotions"]
    asked = [0, 2, 3, 4, 5]
    assert figures["macro_f1_emotions"] == pytest.approx(
        f1_score(targets[:, asked], scores[:, asked] >= 0.6, average="macro")
    )


def test_a_row_counts_only_for_the_emotions_it_was_annotated_with() -> None:
    scores, targets = drawn(200)
    known = np.random.default_rng(3).random(targets.shape) < 0.5
    figures = measure(scores, targets, RULE, known)
    fear = f1_score(targets[known[:, 2], 2], scores[known[:, 2], 2] >= 0.6)
    assert figures["emotions"]["fear"]["f1"] == pytest.approx(fear)


def test_cross_fitting_measures_only_rows_that_were_not_tuned_on() -> None:
    logits, targets = drawn(100, seed=2)
    first, second = cross_fitted(logits, targets, np.array([0] * 30 + [1] * 70))
    assert (first["tuned"]["rows"], first["measured"]["rows"]) == (30, 70)
    assert (second["tuned"]["rows"], second["measured"]["rows"]) == (70, 30)


def test_each_row_is_decided_by_the_half_it_is_not_in() -> None:
    logits, targets = drawn(100, seed=2)
    half = np.array([0] * 30 + [1] * 70)
    scores, rule = from_other_half(logits, targets, half)
    expected = probabilities(logits, platt(logits[30:], targets[30:]))
    assert scores[:30] == pytest.approx(expected[:30])
    assert rule.thresholds[0] == pytest.approx(choose_thresholds(expected[30:], targets[30:]))
    others, same = from_other_half(logits, targets, half, varied=-logits)
    assert others[:30] == pytest.approx(probabilities(-logits, platt(logits[30:], targets[30:]))[:30])
    assert (same.thresholds == rule.thresholds).all(), "another form is decided by what was tuned on the first"


def test_bootstrap_intervals_hold_the_figure_and_are_the_same_again() -> None:
    counted = counts(*drawn(300), RULE)
    f1, weighted = resampled_f1(*counted)
    for at, value in enumerate(f1_scores(*counted)):
        low, high = interval(f1[:, at])
        assert low < value < high < low + 0.3
    assert interval(weighted) == interval(resampled_f1(*counted)[1])


@pytest.mark.parametrize("rows", [1, 300, 4_001])
def test_the_samples_of_a_seed_are_always_the_same(rows: int) -> None:
    """Reports of one model agree for ever: the samples are those drawn one by one, in however many blocks."""
    counted = counts(*drawn(rows), RULE)
    f1, weighted = resampled_f1(*counted, seed=5)
    random = np.random.default_rng(5)
    for at in range(1_000):
        sample = random.integers(rows, size=rows)
        expected = f1_scores(*(each[sample] for each in counted))
        support = counted[2][sample].sum(0)
        assert f1[at] == pytest.approx(expected)
        assert weighted[at] == pytest.approx(expected @ support / max(support.sum(), 1))


def test_a_change_is_measured_on_equal_samples() -> None:
    scores, targets = drawn(300)
    counted = counts(scores, targets, RULE)
    assert compare_decisions(counted, counted)["interval"] == [0, 0]
    worse = compare_decisions(counted, counts(scores[::-1], targets, RULE))
    assert worse["interval"][0] < worse["change"] < worse["interval"][1] < 0


def test_the_breakdown_adds_up() -> None:
    scores, targets = drawn(300)
    broken = break_down(examples(targets), scores, RULE)
    assert sum(group["rows"] for group in broken["by_length"]) == 300
    assert [group["words"] for group in broken["by_length"]] == ["1-3", "4-7", "8-12", "13-20", "21+"]
    assert sum(map(sum, broken["confusion"])) == (targets.sum(1) == 1).sum()
    assert all(sum(each["rows"] for each in bins) == 300 for bins in broken["reliability"].values())
    assert np.diag(broken["co_occurrence"]["labelled"]) == pytest.approx(1)
    joy = broken["curves"]["joy"]["at_threshold"]
    f1 = 2 * joy["recall"] * joy["precision"] / (joy["recall"] + joy["precision"])
    assert f1 == pytest.approx(f1_score(targets[:, 3], scores[:, 3] >= 0.6))
    assert len(broken["curves"]["joy"]["recall"]) <= 101


def test_the_worst_mistakes_come_first_on_either_side() -> None:
    targets = np.zeros((3, len(EMOTIONS)), np.float32)
    targets[0, 3] = targets[1, 2] = 1
    scores = targets * 0.9 + 0.05
    scores[1, 2], scores[2, 0], scores[0, 4] = 0.01, 0.97, 0.5
    false_alarms, misses = mistakes(
        examples(targets, ["а", "б", "в"]),
        scores,
    )
    assert [(wrong.text, wrong.emotion) for wrong in false_alarms[:2]] == [("в", "anger"), ("а", "sadness")]
    assert (misses[0].text, misses[0].emotion, misses[0].labelled) == ("б", "fear", ["fear"])

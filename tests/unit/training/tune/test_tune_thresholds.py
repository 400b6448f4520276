"""Tuning to few labels: what moves, what stays, how far, and what is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from schemas.bundle import Calibration, Neutral, Tuning
from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.evaluate.metrics import counts, f1_scores
from training.evaluate.thresholds import choose_thresholds
from training.tune.thresholds import PARTS, Labels, apply_tuning, assign_parts, on_its_scale, try_tuning, tune

SEEDS = st.integers(0, 1_000)


def tuning(threshold: float = 0.5, neutral: Neutral = "independent") -> Tuning:
    """Return a bundle's tuning, calibrated a little."""
    return Tuning(
        thresholds=dict.fromkeys(EMOTIONS, threshold),
        calibration=dict.fromkeys(EMOTIONS, Calibration(0.9, 0.1)),
        neutral=neutral,
    )


def labels(rows: int, seed: int, *, shift: float = 0.0, without: str | None = None) -> Labels:
    """Draw rows of a network whose logits are right, but for a shift; of one emotion there may be none."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 2, size=(rows, len(EMOTIONS))).astype(np.float32)
    targets = (random.random(logits.shape) < expit(0.9 * logits + 0.1 + shift)).astype(np.float32)
    if without:
        targets[:, EMOTIONS.index(without)] = 0
    return Labels(logits, targets, np.ones(logits.shape, np.bool_), np.arange(rows).astype(str))


@given(SEEDS, st.sampled_from(EMOTIONS), st.sampled_from(["independent", "exclusive"]))
@settings(max_examples=20)
def test_an_emotion_that_no_label_carries_stays_as_it_is(seed: int, emotion: str, neutral: Neutral) -> None:
    before = tuning(0.37, neutral)
    after = tune(before, labels(60, seed, shift=1, without=emotion))
    assert after.thresholds[emotion] == before.thresholds[emotion]
    assert after.calibration[emotion] == before.calibration[emotion]
    assert after != before
    assert after.neutral == neutral


@given(SEEDS)
@settings(max_examples=10)
def test_with_many_labels_decisions_are_as_good_as_those_of_the_best_threshold_on_the_labels_alone(seed: int) -> None:
    many = labels(20_000, seed, shift=1.5)
    before = tuning(0.9)
    after = apply_tuning(tune(before, many), many.logits)
    old = apply_tuning(before, many.logits)
    unshrunk = Rule(choose_thresholds(old.scores, many.targets))
    # A threshold of best F1 is flat about its best, so F1 is compared, not thresholds.
    best = f1_scores(*counts(old.scores, many.targets, unshrunk))
    lost = best - f1_scores(*counts(after.scores, many.targets, after.rule))
    assert lost.max() < 0.003


@given(SEEDS)
@settings(max_examples=10)
def test_few_labels_move_a_threshold_less_than_many(seed: int) -> None:
    before = tuning(0.9)

    def moved(rows: int) -> float:
        places = np.array(on_its_scale(tune(before, labels(rows, seed)), before))
        return float(np.abs(logit(places) - logit(0.9)).mean())

    assert moved(20) < moved(5_000)


@given(SEEDS, st.sampled_from(["independent", "exclusive"]))
@settings(max_examples=20)
def test_the_order_of_the_rows_does_not_matter(seed: int, neutral: Neutral) -> None:
    rows = labels(80, seed, shift=0.5)
    mixed = rows.take(np.random.default_rng(seed).permutation(80))
    one, other = tune(tuning(neutral=neutral), rows), tune(tuning(neutral=neutral), mixed)
    for emotion in EMOTIONS:
        assert one.thresholds[emotion] == pytest.approx(other.thresholds[emotion], abs=1e-4)
        assert one.calibration[emotion].scale == pytest.approx(other.calibration[emotion].scale, abs=1e-4)
        assert one.calibration[emotion].bias == pytest.approx(other.calibration[emotion].bias, abs=1e-4)


def test_what_is_wrongly_calibrated_is_calibrated() -> None:
    rows, others = labels(500, 0, shift=2), labels(5_000, 1, shift=2)
    before = tuning()
    errors = [
        abs(float((apply_tuning(each, others.logits).scores - others.targets).mean()))
        for each in (before, tune(before, rows))
    ]
    assert errors[1] < 0.1 * errors[0]


def test_labels_that_turn_an_emotion_around_leave_its_calibration_as_it_is() -> None:
    rows = labels(2_000, 0)
    turned = rows._replace(logits=-rows.logits)
    assert tune(tuning(), turned).calibration == tuning().calibration


def test_what_wins_on_labels_that_it_has_not_seen_is_kept_and_what_wins_nothing_is_not() -> None:
    far = try_tuning(tuning(0.95), labels(300, 0))
    assert far.won
    assert far.figures[1]["weighted_f1"] > far.figures[0]["weighted_f1"]
    assert 0 < far.gain[0] < far.gain[1]
    # These thresholds are the best that there are for the network.
    rows = labels(50_000, 1)
    best = choose_thresholds(apply_tuning(tuning(), rows.logits).scores, rows.targets)
    right = Tuning(
        thresholds={emotion: float(at) for emotion, at in zip(EMOTIONS, best, strict=True)},
        calibration=tuning().calibration,
    )
    assert not try_tuning(right, labels(300, 2)).won


def test_no_row_is_scored_by_what_was_tuned_on_its_session() -> None:
    groups = np.array([f"call {at // 7}" for at in range(700)])
    part = assign_parts(groups)
    assert all(len(set(part[groups == name])) == 1 for name in set(groups))
    assert sorted(np.bincount(part, minlength=PARTS)) == [70] * PARTS
    order = np.random.default_rng(0).permutation(700)
    assert (assign_parts(groups[order]) == part[order]).all()


def test_rows_of_one_call_prove_less_than_rows_of_many() -> None:
    rows = labels(400, 0)
    alone = try_tuning(tuning(0.9), rows)
    # Each row stands there twenty times, as if one call said it over and over.
    twenty = rows.take(np.repeat(np.arange(20), 20))._replace(groups=np.repeat(np.arange(20), 20).astype(str))
    together = try_tuning(tuning(0.9), twenty)
    assert np.ptp(together.gain) > 2 * np.ptp(alone.gain)


def test_thresholds_are_told_on_the_scale_of_the_scores_that_were() -> None:
    after = Tuning(
        thresholds=dict.fromkeys(EMOTIONS, 0.6), calibration=dict.fromkeys(EMOTIONS, Calibration(0.45, -0.7))
    )
    rows = labels(100, 0)
    old, new = apply_tuning(tuning(), rows.logits), apply_tuning(after, rows.logits)
    assert ((old.scores >= on_its_scale(after, tuning())) == new.rule.assign(new.scores)).all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (labels(49, 0), "there are 49 labels to tune to, and 50 are the fewest"),
        (
            labels(100, 0)._replace(groups=np.array(["a", "b"] * 50)),
            "the labels are of 2 sessions, and 5 are the fewest",
        ),
        (labels(60, 0)._replace(targets=np.zeros((60, 7), np.float32)), "no label carries an emotion"),
    ],
)
def test_labels_that_cannot_be_tuned_to_are_refused_with_the_remedy(rows: Labels, message: str) -> None:
    with pytest.raises(UnusableData, match=message):
        try_tuning(tuning(), rows)

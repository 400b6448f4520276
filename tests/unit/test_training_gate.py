"""The gate: what is surely better passes, and each way of being worse is caught and named."""

import json
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr

from schemas.emotions import EMOTIONS
from training.errors import UnusableData, UnusableModel
from training.evaluation import f1_scores, interval, measure, times_drawn
from training.gate import Check, Costs, Limits, Verdict, judge
from training.paired import RESAMPLES, Rows, Scores, changes

ALIKE = (Costs(1.0, 100), Costs(1.0, 100))
HALF = np.full(len(EMOTIONS), 0.5, np.float32)


def labels(rows: int = 2_000, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, len(EMOTIONS))) < 0.3).astype(np.float32)


def model(targets: np.ndarray, wrong: float | np.ndarray = 0.2, seed: int = 2, *, sure: float = 0.8) -> Scores:
    """Scores, `sure` or the rest, of which a share (of each emotion, maybe) says the contrary."""
    astray = np.random.default_rng(seed).random(targets.shape) < wrong
    says = np.where(astray, 1 - targets, targets)
    return Scores(np.where(says > 0, sure, 1 - sure).astype(np.float32), HALF)


def equals(rows: int, seed: int, *, overconfident: float = 1.0) -> tuple[Scores, Scores, np.ndarray]:
    """Two models that know as much, some of it the same, and say how sure they are; the second one's logits times that.

    An emotion is there where three things and chance add up to it; both know the first, and each one of the others.
    """
    random = np.random.default_rng(seed)
    shared, *own, chance = random.normal(size=(4, rows, len(EMOTIONS)))
    often = np.array([-3, -3.5, -3.5, -2.5, -3, -3, -1]) + 1.5 * shared
    targets = (often + own[0] + own[1] + chance > 0).astype(np.float32)
    champion, candidate = (ndtr((often + known) / np.sqrt(2)).clip(1e-6, 1 - 1e-6) for known in own)
    candidate = expit(overconfident * logit(candidate))
    return Scores(champion.astype(np.float32), HALF), Scores(candidate.astype(np.float32), HALF), targets


def calibration(judged: Verdict) -> Check:
    return next(check for check in judged.checks if check.name == "mean calibration error")


def verdict(champion: Scores, candidate: Scores, targets: np.ndarray, **others: Any) -> Verdict:
    return judge(champion, candidate, targets, None, **{"costs": ALIKE, "public": None, **others})


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_a_better_model_is_promoted() -> None:
    targets = labels()
    judged = verdict(model(targets, 0.2), model(targets, 0.15, seed=3), targets)
    assert judged.promoted, judged.lines()
    assert len(judged.checks) == 1 + len(EMOTIONS) + 1 + 2
    assert judged.reason == "surely better, and no worse in anything else"


def test_the_champion_is_not_replaced_by_its_equal() -> None:
    targets = labels()
    champion = model(targets)
    judged = verdict(champion, champion, targets)
    assert failed(judged) == ["weighted F1"]
    assert judged.checks[0].interval == [0, 0]


def test_a_gain_within_noise_does_not_suffice() -> None:
    targets = labels(200)
    champion = model(targets, 0.2)
    scores = champion.scores.copy()
    wrong = np.flatnonzero((scores[:, 0] > 0.5) != (targets[:, 0] > 0))[:2]
    scores[wrong, 0] = targets[wrong, 0] * 0.6 + 0.2
    judged = verdict(champion, Scores(scores, HALF), targets)
    assert judged.checks[0].candidate > judged.checks[0].champion
    assert failed(judged) == ["weighted F1"]


def test_equals_are_promoted_as_rarely_as_the_interval_says() -> None:
    """The lower bound of a 95 % interval lies above the truth once in forty times."""
    promoted = 0
    for seed in range(100):
        targets = labels(300, seed)
        pair = (model(targets, 0.25, 1_000 + seed), model(targets, 0.25, 2_000 + seed))
        promoted += verdict(*pair, targets, seed=seed).checks[0].passed
    assert promoted <= 8


def test_a_margin_is_asked_on_top() -> None:
    targets = labels()
    pair = (model(targets, 0.2), model(targets, 0.15, seed=3))
    gain = verdict(*pair, targets).checks[0]
    low = gain.interval[0]
    assert verdict(*pair, targets, limits=Limits(margin=low - 0.001)).promoted
    assert failed(verdict(*pair, targets, limits=Limits(margin=low + 0.001))) == ["weighted F1"]


def test_one_emotion_that_falls_is_named_though_all_others_gain() -> None:
    targets = labels()
    worse = np.full(len(EMOTIONS), 0.1)
    worse[2] = 0.4
    judged = verdict(model(targets, 0.2), model(targets, worse, seed=3), targets)
    assert judged.checks[0].passed
    assert failed(judged) == ["F1 of fear"]
    assert judged.reason == "rejected for F1 of fear"


def test_an_emotion_may_fall_within_its_interval() -> None:
    targets = labels()
    targets[:, 2] = 0
    targets[:12, 2] = 1
    candidate = model(targets, 0.1, seed=3)
    champion = model(targets, 0.2)
    for each, hits in ((champion, 6), (candidate, 5)):
        each.scores[:, 2] = 0.2
        each.scores[:hits, 2] = 0.8
    fear = next(check for check in verdict(champion, candidate, targets).checks if check.name == "F1 of fear")
    assert fear.candidate < fear.champion - 0.01
    assert fear.passed


def test_costs_may_grow_by_a_tenth() -> None:
    targets = labels()
    pair = (model(targets, 0.2), model(targets, 0.15, seed=3))
    assert verdict(*pair, targets, costs=(Costs(1.0, 100), Costs(1.1, 110))).promoted
    assert failed(verdict(*pair, targets, costs=(Costs(1.0, 100), Costs(1.11, 100)))) == ["latency (s)"]
    assert failed(verdict(*pair, targets, costs=(Costs(1.0, 100), Costs(0.5, 111)))) == ["size (MB)"]


def test_a_better_model_that_is_overconfident_is_refused() -> None:
    targets = labels()
    judged = verdict(model(targets, 0.2), model(targets, 0.17, seed=3, sure=0.99), targets)
    assert failed(judged) == ["mean calibration error"]


def test_of_few_rows_equals_are_rarely_refused_for_their_calibration() -> None:
    """On 60 rows chance alone moves the error by more than a point one way or the other, for every third pair."""
    checks = [calibration(verdict(*equals(60, seed), seed=seed)) for seed in range(100)]
    assert sum(abs(check.candidate - check.champion) > 0.01 for check in checks) > 20
    assert sum(not check.passed for check in checks) <= 5


@pytest.mark.parametrize(("rows", "overconfident", "caught"), [(60, 10, 8), (200, 3, 16), (400, 3, 20)])
def test_of_more_rows_an_overconfident_model_is_refused_the_more_surely(
    rows: int, overconfident: float, caught: int
) -> None:
    checks = [calibration(verdict(*equals(rows, seed, overconfident=overconfident), seed=seed)) for seed in range(20)]
    assert sum(not check.passed for check in checks) >= caught


def test_a_rise_of_the_calibration_error_that_is_sure_but_small_is_let_pass() -> None:
    judged = calibration(verdict(*equals(8_000, 0, overconfident=1.15)))
    assert judged.interval
    assert 0 < judged.interval[0] < judged.candidate - judged.champion < 0.01
    assert judged.passed


def test_a_fall_on_the_public_rows_is_refused_and_noise_there_is_not() -> None:
    targets, public = labels(), labels(500, seed=7)
    pair = (model(targets, 0.2), model(targets, 0.15, seed=3))
    before = model(public, 0.2)
    scores = before.scores.copy()
    scores[0] = 1 - scores[0]
    noise = Rows(before, Scores(scores, HALF), public)
    assert verdict(*pair, targets, public=noise).promoted
    worse = Rows(before, model(public, 0.3, seed=4), public)
    judged = verdict(*pair, targets, public=worse)
    assert failed(judged) == ["weighted F1 on public rows"]
    assert judged.public_rows == 500


def test_what_was_not_annotated_counts_nowhere() -> None:
    targets = labels()
    known = np.ones(targets.shape, np.bool_)
    known[:, 1] = False
    known[:500] = False
    wrong = np.full(len(EMOTIONS), 0.1)
    wrong[1] = 0.9
    candidate = model(targets, wrong, seed=3)
    candidate.scores[:500] = 1 - candidate.scores[:500]
    judged = judge(model(targets, 0.2), candidate, targets, known, costs=ALIKE, public=None)
    assert judged.promoted, judged.lines()
    assert "F1 of disgust" not in [check.name for check in judged.checks]


def test_the_same_rows_are_drawn_for_both_and_again_by_the_same_seed() -> None:
    targets = labels(50)
    rows = Rows(model(targets), model(targets, 0.3, seed=3), targets)
    first, second = changes(rows, 0), changes(rows, 0)
    other, contrary = changes(rows, 1), changes(Rows(rows.candidate, rows.champion, targets), 0)
    for at in range(len(first)):
        assert (first[at] == second[at]).all()
        assert (first[at] != other[at]).any()
        # The other way round is the exact contrary, which holds only in pairs.
        assert contrary[at] == pytest.approx(-first[at])


def test_each_sample_has_as_many_rows_as_there_are_whatever_the_block() -> None:
    for rows in (3, 3_000):
        blocks = list(times_drawn(rows, RESAMPLES, 0))
        assert sum(map(len, blocks)) == 2_000
        assert all((block.sum(1) == rows).all() for block in blocks)
    assert len(list(times_drawn(3_000, RESAMPLES, 0))) == 2


def test_a_samples_f1_is_that_of_its_rows() -> None:
    targets = labels(40)
    candidate, nothing = model(targets), Scores(np.zeros_like(targets), HALF)
    f1, weighted, _ = changes(Rows(nothing, candidate, targets), 0)
    drawn = np.repeat(np.arange(40), next(times_drawn(40, RESAMPLES, 0))[0].astype(int))
    said, there = (candidate.scores[drawn] >= 0.5).astype(np.float32), targets[drawn]
    expected = f1_scores(said * there, said, there)
    assert f1[0] == pytest.approx(expected)
    assert weighted[0] == pytest.approx(expected @ there.sum(0) / there.sum())
    low, high = interval(weighted)
    assert low < weighted.mean() < high


def test_a_samples_calibration_error_is_that_of_its_annotated_rows() -> None:
    champion, candidate, targets = equals(40, 3, overconfident=2)
    known = np.random.default_rng(4).random(targets.shape) < 0.7
    known[:, 6] = False
    drawn = np.repeat(np.arange(40), next(times_drawn(40, RESAMPLES, 0))[0].astype(int))
    before, after = (
        measure(each.scores[drawn], targets[drawn], HALF, known[drawn])["mean_ece"] for each in (champion, candidate)
    )
    change = changes(Rows(champion, candidate, targets, known), 0).mean_ece
    assert change[0] == pytest.approx(after - before, abs=1e-6)


def test_every_number_becomes_json_and_every_verdict_a_line() -> None:
    targets = labels(300)
    rows = Rows(model(targets), model(targets, 0.4, seed=3), targets)
    judged = verdict(rows.champion, rows.candidate, targets, public=rows)
    plain = json.loads(json.dumps(judged.as_json()))
    assert plain["promoted"] is False
    assert plain["reason"] == judged.reason
    assert (plain["rows"], plain["resamples"], plain["limits"]["growth"]) == (300, 2_000, 1.1)
    gain = plain["checks"][0]
    assert gain["interval"][0] < gain["candidate"] - gain["champion"] < gain["interval"][1] < 0
    head, *lines = judged.lines()
    assert head.startswith("reject: rejected for weighted F1, F1 of anger")
    assert len(lines) == len(judged.checks)
    assert all(line.strip().startswith(("pass", "FAIL")) for line in lines)


def test_what_cannot_be_judged_is_refused() -> None:
    targets = labels(20)
    champion = model(targets)
    with pytest.raises(UnusableData, match="no rows"):
        verdict(Scores(champion.scores[:0], HALF), Scores(champion.scores[:0], HALF), targets[:0])
    with pytest.raises(UnusableData, match="rows x emotions"):
        verdict(champion, Scores(champion.scores[:10], HALF), targets)
    diverged = np.full_like(champion.scores, np.nan)
    with pytest.raises(UnusableModel, match="not numbers"):
        verdict(champion, Scores(diverged, HALF), targets)

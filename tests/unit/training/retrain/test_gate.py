"""The gate: what is surely better passes, and each way of being worse is caught and named."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from training.errors import UnusableData, UnusableModel
from training.evaluate.metrics import f1_scores, interval, measure, times_drawn
from training.evaluate.paired_bootstrap import RESAMPLES, Rows, Scores, bootstrap_changes
from training.retrain.checks import POSITIVES, Check, Compared, Limits, check_conventions, check_costs, check_gain
from training.retrain.costs import Costs
from training.retrain.gate import Anchor, Verdict, judge, refuse

ERROR = 0.025
HALF = Rule(np.full(len(EMOTIONS), 0.5, np.float32))


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
    return judge(Rows(champion, candidate, targets), **{"error": ERROR, **others})


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_a_better_model_is_promoted() -> None:
    targets = labels(6_000)
    judged = verdict(model(targets, 0.2), model(targets, 0.15, seed=3), targets)
    assert judged.promoted, judged.lines()
    assert len(judged.checks) == 1 + len(EMOTIONS) + 1
    assert re.fullmatch(
        r"surely better, and no worse in anything that can be told \(\+\d\.\d points; 6000 labels can show \+\d\.\d\)",
        judged.reason,
    )
    assert judged.sound


def test_the_champion_is_not_replaced_by_its_equal() -> None:
    targets = labels()
    champion = model(targets)
    judged = verdict(champion, champion, targets)
    assert failed(judged) == ["weighted F1"]
    assert judged.checks[0].interval is None
    assert "(+0.0 points; 2000 labels show no gain)" in judged.reason


def test_a_gain_within_noise_does_not_suffice() -> None:
    targets = labels(200)
    champion = model(targets, 0.2)
    scores = champion.scores.copy()
    wrong = np.flatnonzero((scores[:, 0] > 0.5) != (targets[:, 0] > 0))[:2]
    scores[wrong, 0] = targets[wrong, 0] * 0.6 + 0.2
    judged = verdict(champion, Scores(scores, HALF), targets)
    assert judged.checks[0].candidate > judged.checks[0].champion
    assert failed(judged) == ["weighted F1"]


def test_equals_are_promoted_as_rarely_as_the_error_says() -> None:
    """Of 200, 2.5 % are 5; more than 11 would come once in a hundred times."""
    promoted = 0
    for seed in range(200):
        targets = labels(300, seed)
        pair = (model(targets, 0.25, 1_000 + seed), model(targets, 0.25, 2_000 + seed))
        promoted += verdict(*pair, targets).checks[0].passed
    assert 0 < promoted <= 11


def test_the_less_error_a_look_may_spend_the_more_it_asks_for() -> None:
    targets = labels(400)
    pair = (model(targets, 0.2), model(targets, 0.18, seed=3))
    bounds = [verdict(*pair, targets, error=error) for error in (0.025, 0.001)]
    assert bounds[0].checks[0].interval[0] > bounds[1].checks[0].interval[0]
    assert bounds[0].shows < bounds[1].shows
    assert "this look may err in 0.10% of cases, of 5% in a year" in bounds[1].lines()


def test_the_smallest_gain_that_labels_show_is_promoted_in_four_of_five_cases() -> None:
    gains = []
    for seed in range(60):
        targets = labels(300, seed)
        judged = verdict(model(targets, 0.25, 1_000 + seed), model(targets, 0.25, 2_000 + seed), targets)
        gains.append((judged.gain + judged.shows, judged.checks[0].interval))
    shown = np.mean([gain - (high - low) / 2 > 0 for gain, (low, high) in gains])
    assert 0.65 < shown < 0.92


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
    assert judged.reason.startswith("rejected for F1 of fear (")


def rarely(hits: tuple[int, int], positives: int) -> tuple[Verdict, Check]:
    """A better model, and fear that few texts carry: champion and candidate find the given numbers of them."""
    targets = labels()
    targets[:, 2] = 0
    targets[:positives, 2] = 1
    candidate, champion = model(targets, 0.1, seed=3), model(targets, 0.2)
    for each, found in ((champion, hits[0]), (candidate, hits[1])):
        each.scores[:, 2] = 0.2
        each.scores[:found, 2] = 0.8
    judged = verdict(champion, candidate, targets)
    return judged, next(check for check in judged.checks if check.name == "F1 of fear")


def test_a_rare_emotion_cannot_vanish_unseen() -> None:
    """Three of ten texts were found: F1 .46. None is found any more."""
    judged, fear = rarely((3, 0), 10)
    assert (round(fear.champion, 2), fear.candidate) == (0.46, 0)
    assert failed(judged) == ["F1 of fear"]


def test_where_texts_are_too_few_to_tell_that_is_said() -> None:
    judged, fear = rarely((6, 5), 12)
    assert fear.candidate < fear.champion
    assert fear.passed
    assert not fear.tells
    assert judged.promoted
    assert not judged.sound
    assert judged.reason.endswith("; cannot tell fear")
    assert any(line.strip().startswith("open  F1 of fear") for line in judged.lines())


def test_nothing_is_told_of_an_emotion_that_next_to_no_text_carries() -> None:
    _, fear = rarely((0, 0), POSITIVES - 1)
    assert not fear.tells
    _, fear = rarely((POSITIVES, POSITIVES), POSITIVES)
    assert fear.tells


def test_where_texts_are_enough_they_must_show_that_an_emotion_did_not_fall() -> None:
    """A fall of some five points that may be chance: it used to pass, since it may be none."""
    targets = labels()
    worse = np.full(len(EMOTIONS), 0.1)
    worse[2] = 0.22
    judged = verdict(model(targets, 0.2), model(targets, worse, seed=3), targets)
    fear = next(check for check in judged.checks if check.name == "F1 of fear")
    assert fear.tells
    assert -0.05 < fear.candidate - fear.champion < 0
    assert failed(judged) == ["F1 of fear"]


def test_small_losses_do_not_add_up_since_the_anchor_stays() -> None:
    targets = labels(4_000)
    slipped, worse = np.full(len(EMOTIONS), 0.15), np.full(len(EMOTIONS), 0.1)
    slipped[2], worse[2] = 0.27, 0.27
    anchor, champion, candidate = model(targets, 0.2, seed=2), model(targets, slipped, 3), model(targets, worse, 4)
    rows = Rows(champion, candidate, targets)
    assert judge(rows, error=ERROR).promoted
    judged = judge(rows, error=ERROR, anchor=Anchor("best-1", rows._replace(champion=anchor)))
    assert failed(judged) == ["F1 of fear against best-1"]


def test_rows_of_a_call_count_as_one() -> None:
    """Each text twenty times over says no more than once."""
    targets = labels(60)
    once = verdict(model(targets, 0.25), model(targets, 0.2, seed=3), targets)
    many = np.repeat(targets, 20, 0)
    pair = [Scores(np.repeat(each.scores, 20, 0), HALF) for each in (model(targets, 0.25), model(targets, 0.2, seed=3))]
    rows = Rows(*pair, many)
    of_calls = judge(rows._replace(group=np.repeat(np.arange(60), 20)), error=ERROR)
    assert of_calls.checks[0].interval == pytest.approx(once.checks[0].interval)
    assert of_calls.calls == 60
    of_rows = judge(rows, error=ERROR)
    assert of_rows.shows < of_calls.shows / 3


def by_call(sizes: Sequence[int], seed: int) -> Rows:
    """Equal models on calls of some sizes: in each call the one knows more, or the other."""
    random = np.random.default_rng(seed)
    call = np.repeat(np.arange(len(sizes)), sizes)
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[random.integers(len(EMOTIONS), size=len(call))]

    def knows() -> Scores:
        wrong = random.random(len(call)) >= random.beta(4, 4, len(sizes))[call]
        moved = np.where(wrong, random.integers(1, len(EMOTIONS), len(call)), 0)
        says = (targets.argmax(1) + moved) % len(EMOTIONS)
        return Scores(np.where(np.arange(len(EMOTIONS)) == says[:, None], 0.9, 0.1).astype(np.float32), HALF)

    return Rows(knows(), knows(), targets, group=call)


@pytest.mark.parametrize(
    "sizes",
    [[100] * 2, [40] * 5, [150, *[5] * 10], [150, *[2] * 30], [100, 100, *[1] * 40]],
    ids=["two", "five", "one long and ten short", "one long and thirty short", "two long and forty short"],
)
def test_with_few_or_unequal_calls_equals_gain_as_rarely_as_the_error_says(sizes: list[int]) -> None:
    """Of 200, 5 % are 10; more than 17 would come once in a hundred times."""
    gained = (check_gain(Compared.on(by_call(sizes, seed), 0), 0, 0.05).passed for seed in range(200))
    assert sum(gained) <= 17


@pytest.mark.parametrize("rows", [1, 200])
def test_of_one_call_nothing_can_be_told(rows: int) -> None:
    targets = np.ones((rows, len(EMOTIONS)), np.float32)
    group = np.zeros(rows, np.intp)
    judged = judge(Rows(model(targets, 1.0), model(targets, 0.0), targets, group=group), error=ERROR)
    assert failed(judged) == ["weighted F1"]
    assert not any(check.tells or check.interval for check in judged.checks[: 1 + len(EMOTIONS)])
    assert judged.reason.startswith(
        f"rejected for weighted F1 (+100.0 points; {rows} labels show no gain); cannot tell"
    )
    assert json.loads(json.dumps(judged.as_json(), allow_nan=False))["shows"] is None


def test_rows_of_which_one_weighs_most_count_as_one() -> None:
    rows = Rows(model(labels(50), 0.4), model(labels(50), 0.1, seed=3), labels(50))
    assert Compared.on(rows, 0).units == 50
    weights = np.array([1_000.0] + [1.0] * 49)
    assert Compared.on(rows._replace(weights=weights), 0).units == pytest.approx(1.1, abs=0.01)
    assert not judge(rows._replace(weights=weights), error=ERROR).checks[0].tells


def test_weights_set_right_what_was_drawn_more_often() -> None:
    targets = labels(600)
    champion, candidate = model(targets, 0.25), model(targets, 0.2, seed=3)
    whole = verdict(champion, candidate, targets)
    # The first half is there three times, as if it had been three times as likely to be drawn.
    at = np.concatenate([np.tile(np.arange(300), 3), np.arange(300, 600)])
    pair = [Scores(each.scores[at], HALF) for each in (champion, candidate)]
    weights = np.where(at < 300, 1 / 3, 1.0)
    weighted = judge(Rows(*pair, targets[at], None, None, weights), error=ERROR)
    for old, new in zip(whole.checks, weighted.checks, strict=True):
        assert (new.champion, new.candidate) == pytest.approx((old.champion, old.candidate), abs=1e-6)


def costs(*seconds: float, size: float = 100) -> Costs:
    return Costs(seconds * (9 // len(seconds)), size)


def refused(champion: Costs, candidate: Costs) -> list[str]:
    return [check.name for check in check_costs(champion, candidate, 1.1) if not check.passed]


def test_costs_may_grow_by_a_tenth() -> None:
    assert refused(costs(1.0), costs(1.1, size=110)) == []
    assert refused(costs(1.0), costs(1.11)) == ["latency (s)"]
    assert refused(costs(1.0), costs(0.5, size=111)) == ["size (MB)"]


def test_a_machine_that_is_busy_now_and_then_rejects_nobody() -> None:
    assert refused(costs(1.0, 1.0, 1.0), costs(1.0, 1.5, 1.5)) == []


def test_who_costs_too_much_is_refused_before_any_label_is_looked_at() -> None:
    judged = refuse(check_costs(costs(1.0), costs(2.0), 1.1))
    assert not judged.looked
    assert judged.reason == "rejected for latency (s), before any label was looked at"
    assert (judged.error, judged.rows) == (0, 0)
    assert json.loads(json.dumps(judged.as_json()))["reason"] == judged.reason


def test_a_candidate_must_know_every_convention_of_the_champion() -> None:
    """Workers with WORKER_CONVENTION=public would refuse it."""
    assert check_conventions(["calls"], ["calls", "public"]).passed
    check = check_conventions(["calls", "public"], ["calls"])
    assert not check.passed
    assert "public is missing" in check.line()


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
    assert verdict(*pair, targets, public=noise, limits=Limits(public_veto=True)).promoted
    worse = Rows(before, model(public, 0.3, seed=4), public)
    judged = verdict(*pair, targets, public=worse, limits=Limits(public_veto=True))
    assert not judged.promoted
    assert failed(judged) == ["weighted F1 on public rows"]
    assert judged.public_rows == 500


def test_a_fall_on_the_public_rows_is_reported_and_refuses_nothing_unless_that_is_asked() -> None:
    targets, public = labels(), labels(500, seed=7)
    worse = Rows(model(public, 0.2), model(public, 0.3, seed=4), public)
    judged = verdict(model(targets, 0.2), model(targets, 0.15, seed=3), targets, public=worse)
    assert judged.promoted
    assert judged.reason.startswith("surely better, and no worse in anything that can be told (")
    assert judged.lines()[-1].startswith("  note  weighted F1 on public rows: ")


def test_what_was_not_annotated_counts_nowhere() -> None:
    targets = labels()
    known = np.ones(targets.shape, np.bool_)
    known[:, 1] = False
    known[:500] = False
    wrong = np.full(len(EMOTIONS), 0.1)
    wrong[1] = 0.9
    candidate = model(targets, wrong, seed=3)
    candidate.scores[:500] = 1 - candidate.scores[:500]
    judged = judge(Rows(model(targets, 0.2), candidate, targets, known), error=ERROR)
    assert judged.promoted, judged.lines()
    assert "F1 of disgust" not in [check.name for check in judged.checks]


def test_the_same_rows_are_drawn_for_both_and_again_by_the_same_seed() -> None:
    targets = labels(50)
    rows = Rows(model(targets), model(targets, 0.3, seed=3), targets)
    first, second = bootstrap_changes(rows, 0), bootstrap_changes(rows, 0)
    other, contrary = bootstrap_changes(rows, 1), bootstrap_changes(Rows(rows.candidate, rows.champion, targets), 0)
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
    f1, weighted, _ = bootstrap_changes(Rows(nothing, candidate, targets), 0)
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
    change = bootstrap_changes(Rows(champion, candidate, targets, known), 0).mean_ece
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
    head, spent, *lines = judged.lines()
    assert head.startswith("reject: rejected for weighted F1, F1 of anger")
    assert spent.startswith("this look may err in 2.50% of cases")
    assert len(lines) == len(judged.checks)
    assert all(line.strip().startswith(("pass", "FAIL", "note", "open")) for line in lines)


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

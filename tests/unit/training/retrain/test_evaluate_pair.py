"""What the gate is shown: on public rows, how well either model ranks them, and not whose thresholds saw them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from manifests import manifest

from schemas.bundle import Calibration, Tuning
from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.errors import UnusableModel
from training.evaluate.metrics import measure
from training.evaluate.predictor import Served
from training.evaluate.thresholds import choose_thresholds, platt, probabilities
from training.retrain.evaluate_pair import _followed, _rows

SEVEN = len(EMOTIONS)
TUNING = manifest().tuning()


def public(rows: int = 400, *, asked: int = SEVEN) -> Examples:
    """Rows whose text is a number, in the set that the model below knows by heart."""
    targets = (np.random.default_rng(0).random((rows, SEVEN)) < 0.3).astype(np.float32)
    annotated = np.tile(np.arange(SEVEN) < asked, (rows, 1))
    ids = [f"id-{at}" for at in range(rows)]
    return Examples("public", "ru", ids, list(map(str, range(rows))), targets * annotated, annotated)


def logits(examples: Examples, *, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=examples.targets.shape)
    return (2 * examples.targets - 2 + noise).astype(np.float32)


def served(said: np.ndarray, *, tuned_on: Examples | None = None) -> Served:
    """A model that says a row of that of each number; maybe with calibration and thresholds chosen on those rows."""

    def of(texts: Sequence[str]) -> np.ndarray:
        return said[[int(text) for text in texts]]

    if tuned_on is None:
        return Served(manifest(), of)
    calibration = platt(said, tuned_on.targets)
    thresholds = choose_thresholds(probabilities(said, calibration), tuned_on.targets)
    named = dict(zip(EMOTIONS, map(float, thresholds), strict=True))
    return Served(manifest(thresholds=named, calibration=dict(zip(EMOTIONS, calibration, strict=True))), of)


def f1(rows: object, which: str) -> float:
    model = getattr(rows, which)
    return float(measure(model.scores, rows.targets, model.rule, rows.annotated)["weighted_f1"])  # type: ignore[attr-defined]


def test_a_champion_that_was_tuned_on_the_public_rows_has_no_lead_over_its_equal() -> None:
    """The same scores, once with thresholds that saw these rows, once as they came and calibrated otherwise."""
    examples = public()
    said = logits(examples)
    rows = _rows(served(said, tuned_on=examples), served(said / 3 + 1), [examples])
    assert rows is not None
    assert f1(rows, "champion") == pytest.approx(f1(rows, "candidate"), abs=0.005)
    assert rows.candidate.scores == pytest.approx(rows.champion.scores, abs=0.01)


def test_no_row_of_the_public_sets_is_decided_by_what_was_tuned_on_it() -> None:
    """A model that guesses gains nothing by thresholds that are the best ones for what it guessed."""
    examples = public(60)
    guessed = np.random.default_rng(5).normal(size=examples.targets.shape).astype(np.float32)
    tuned = served(guessed, tuned_on=examples)
    rows = _rows(tuned, tuned, [examples])
    assert rows is not None
    flattered = measure(tuned.scores(guessed), examples.targets, tuned.rule)["weighted_f1"]
    assert f1(rows, "champion") < flattered - 0.03
    assert rows.champion.rule.thresholds.shape == examples.targets.shape


def test_what_a_public_set_does_not_ask_for_is_neither_tuned_nor_counted() -> None:
    some, whole = public(asked=4), public()
    said = logits(whole)
    alone = _rows(served(said), served(said), [some])
    both = _rows(served(said), served(said), [some, whole])
    assert alone is not None
    assert both is not None
    known = measure(alone.champion.scores, alone.targets, alone.champion.rule, alone.annotated)["emotions"]
    assert list(known) == list(EMOTIONS[:4])
    assert len(both.targets) == 800
    assert both.champion.rule.thresholds[400:, 4:] == pytest.approx(both.champion.rule.thresholds[:400, 4:])


def test_without_public_sets_there_are_no_public_rows() -> None:
    said = logits(public())
    assert _rows(served(said), served(said), []) is None


def test_a_candidate_that_diverged_is_named_in_a_line() -> None:
    examples = public(20)
    said = logits(examples)
    with pytest.raises(UnusableModel, match="test-1 gives scores that are not numbers"):
        _rows(served(said), served(said * np.nan), [examples])


def test_calibration_of_the_manifest_is_not_asked_on_public_rows() -> None:
    examples = public()
    said = logits(examples)
    odd = Served(manifest(calibration=dict.fromkeys(EMOTIONS, Calibration(scale=9.0, bias=3.0))), served(said).logits)
    rows = _rows(odd, served(said), [examples])
    assert rows is not None
    assert (rows.champion.scores == rows.candidate.scores).all()


@pytest.mark.parametrize(
    ("of_rows", "old", "wanted"),
    [
        (["public"], {"public": TUNING}, "public"),
        (["public", "calls"], {"public": TUNING}, None),
        (["public"], {}, None),
        (["calls"], {"public": TUNING}, "calls"),
    ],
    ids=["both know it", "rows of two", "the champion lacks it", "their default one"],
)
def test_public_rows_are_judged_by_the_convention_that_they_follow_where_both_know_it(
    of_rows: list[str], old: dict[str, Tuning], wanted: str | None
) -> None:
    new = Served(manifest(convention="calls", others={"public": TUNING}), served(logits(public())).outputs)
    rows = [replace(public(), conventions=(name,)) for name in of_rows]
    assert _followed(replace(new, manifest=manifest(convention="calls", others=old)), new, rows) == wanted

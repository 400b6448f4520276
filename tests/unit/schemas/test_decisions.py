"""Which emotions are assigned: by thresholds alone, or so that neutral is their absence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from manifests import manifest

from schemas.bundle import Neutral, Tuning
from schemas.decisions import Rule, rule_of
from schemas.emotions import EMOTIONS

SCORES = arrays(np.float32, st.tuples(st.integers(0, 6), st.just(7)), elements=st.floats(0, 1, width=32))
LIMITS = arrays(np.float32, 7, elements=st.floats(0, 1, width=32))


@given(SCORES, LIMITS)
def test_under_the_exclusive_rule_each_text_is_neutral_or_has_an_emotion_and_never_both(
    scores: np.ndarray, limits: np.ndarray
) -> None:
    assigned = Rule(limits, "exclusive").assign(scores)
    assert (assigned[:, -1] != assigned[:, :-1].any(1)).all()


@given(SCORES, LIMITS)
def test_the_two_rules_agree_on_every_emotion_but_neutral(scores: np.ndarray, limits: np.ndarray) -> None:
    alone, together = Rule(limits).assign(scores), Rule(limits, "exclusive").assign(scores)
    assert (alone == (scores >= limits)).all()
    assert (alone[:, :-1] == together[:, :-1]).all()


def test_a_row_may_have_thresholds_of_its_own() -> None:
    limits = np.array([[0.9] * 7, [0.1] * 7], np.float32)
    assigned = Rule(limits, "exclusive").assign(np.full((2, 7), 0.5, np.float32))
    assert assigned.tolist() == [[False] * 6 + [True], [True] * 6 + [False]]


@pytest.mark.parametrize(
    ("followed", "wanted", "found"),
    [
        ("exclusive", None, "exclusive"),
        ("exclusive", "independent", "independent"),
        ("independent", None, "independent"),
    ],
)
def test_a_bundles_rule_holds_unless_another_is_wanted(followed: Neutral, wanted: Neutral | None, found: str) -> None:
    limits = {emotion: at / 10 for at, emotion in enumerate(EMOTIONS)}
    plain = manifest().tuning()
    rule = rule_of(Tuning(thresholds=limits, calibration=plain.calibration, neutral=followed), wanted)
    assert rule.neutral == found
    assert rule.thresholds == pytest.approx([at / 10 for at in range(7)])

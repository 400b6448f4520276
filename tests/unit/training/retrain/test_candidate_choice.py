"""Which of several candidates is decided on."""

from pathlib import Path

import pytest

from training.retrain.candidates import Judged, choose_candidate
from training.retrain.checks import Check, Limits
from training.retrain.gate import Verdict


def judged(name: str, weighted_f1: float, *, passed: bool) -> Judged:
    check = Check("weighted F1", passed, 0.5, weighted_f1, "surely more")
    return Judged(Path(name), Verdict(passed, (check,), 100, 0, 2_000, 0, Limits()))


@pytest.mark.parametrize(
    ("tuned", "fit", "chosen"),
    [
        ((0.6, True), (0.7, True), "fit"),
        ((0.7, True), (0.6, True), "tuned"),
        ((0.6, True), (0.6, True), "tuned"),
        ((0.6, True), (0.9, False), "tuned"),
        ((0.9, False), (0.6, True), "fit"),
        ((0.9, False), (0.6, False), "fit"),
    ],
)
def test_of_those_that_pass_the_best_is_decided_on_and_of_equals_the_cheaper(
    tuned: tuple[float, bool], fit: tuple[float, bool], chosen: str
) -> None:
    both = [judged(name, f1, passed=passed) for name, (f1, passed) in (("tuned", tuned), ("fit", fit))]
    assert choose_candidate(both).folder == Path(chosen)

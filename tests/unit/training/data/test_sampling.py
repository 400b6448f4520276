"""Rows drawn by chance: how likely each is, and that weights set right what is measured on them."""

import numpy as np
import pytest

from training.data.sampling import draw_by_chance

SCORES = np.random.default_rng(0).gamma(0.5, size=2_000)


def drawn(seed: int, count: int = 200, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    return draw_by_chance(SCORES, np.random.default_rng(seed).random(len(SCORES)), count, share)


def test_a_row_is_drawn_as_often_as_its_chance_says() -> None:
    times = np.zeros(len(SCORES))
    for seed in range(1_000):
        rows, chance = drawn(seed)
        times[rows] += 1
    expected = chance * 200 / len(SCORES)
    for high in (False, True):
        there = (np.median(SCORES) < SCORES) == high
        assert times[there].sum() / 1_000 == pytest.approx(expected[there].sum(), rel=0.03)


def test_weights_of_the_inverse_chance_give_the_mean_of_all_rows() -> None:
    means = []
    for seed in range(300):
        rows, chance = drawn(seed)
        means.append(np.average(SCORES[rows], weights=1 / chance[rows]))
    assert np.mean(means) == pytest.approx(SCORES.mean(), rel=0.01)
    assert SCORES[rows].mean() > 1.5 * SCORES.mean(), "without weights it is far off"


def test_no_row_counts_for_more_than_one_over_the_random_share() -> None:
    assert drawn(0)[1].min() >= 0.3 * 0.95
    assert (drawn(0, share=1.0)[1] == 1).all()


def test_what_is_sure_to_be_drawn_has_a_chance_of_one_and_no_more() -> None:
    _, chance = drawn(0, count=1_500)
    assert (chance * 1_500 / len(SCORES)).max() == pytest.approx(1)
    assert (chance * 1_500 / len(SCORES)).sum() == pytest.approx(1_500)


def test_all_rows_are_drawn_where_there_are_no_more() -> None:
    rows, chance = draw_by_chance(SCORES[:5], np.zeros(5), 9)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert (chance == 1).all()

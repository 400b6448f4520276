"""What a bundle says of the texts that its model has learnt: enough to know them again, and no word of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.known_texts import KnownTexts
from training.data.splits import identity


def test_a_text_is_known_however_it_is_spelled_and_another_is_not() -> None:
    known = KnownTexts.of(["Где мой заказ?", "ну да", "Ну да!"])
    assert len(known) == 2
    assert known.holds(identity("где мой заказ"))
    assert not known.holds(identity("где мой мастер"))
    assert not KnownTexts().holds(identity("где мой заказ"))


@given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)))
def test_nothing_is_lost_in_a_file_nor_with_what_others_know(one: list[str], other: list[str]) -> None:
    both = KnownTexts.decode((KnownTexts.of(one) | KnownTexts.of(other)).encode())
    assert all(both.holds(identity(text)) for text in one + other)
    assert both.encode() == KnownTexts.of(other + one).encode()


def test_few_texts_seem_to_be_known_that_are_not() -> None:
    """The promise is one in 40,000 where 100,000 are known; these are 25 times as many against a hundredth."""
    chance = np.random.default_rng(0)
    known = KnownTexts(chance.integers(0, 2**32, 100_000).tolist())
    strangers = (f"{number:016x}" for number in chance.integers(0, 2**32, 100_000).tolist())
    assert sum(map(known.holds, strangers)) <= 12

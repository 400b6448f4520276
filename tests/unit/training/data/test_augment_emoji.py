"""Emoji that fit the emotion."""

import emoji
import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.augment.emoji import FITTING, with_emoji


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_emotion_has_emoji_that_normalization_turns_into_russian_words(emotion: str) -> None:
    for picture in FITTING[emotion].split():
        assert emoji.is_emoji(picture)
        words = normalize(picture)
        assert words
        assert all("а" <= letter <= "я" or letter in " -«»" for letter in words)


@pytest.mark.parametrize("text", ["мне страшно", "Ой, кто там? Не открывай.", "да", ""])
def test_the_text_stays_around_an_emoji_of_one_of_its_emotions(text: str) -> None:
    fitting = set("".join(FITTING["fear"].split() + FITTING["sadness"].split()))
    for seed in range(50):
        written = with_emoji(text, ["fear", "sadness"], np.random.default_rng(seed))
        pictures = "".join(letter for letter in written if letter in fitting)
        assert pictures
        assert " ".join("".join(letter for letter in written if letter not in fitting).split()) == text


def test_an_emoji_stands_at_the_end_or_behind_a_mark() -> None:
    texts = {with_emoji("Ой, кто там? Нет", ["fear"], np.random.default_rng(seed)) for seed in range(200)}
    ends = {text.startswith("Ой, кто там? Нет ") for text in texts}
    assert ends == {True, False}


def test_without_emotions_the_text_stays() -> None:
    assert with_emoji("да", [], np.random.default_rng(0)) == "да"


def test_equal_seeds_make_equal_texts() -> None:
    one, other = (
        [with_emoji("да", EMOTIONS, random) for _ in range(9)] for random in map(np.random.default_rng, (1, 1))
    )
    assert one == other


def test_an_unknown_emotion_is_refused() -> None:
    with pytest.raises(ValueError, match="boredom: none of anger"):
        with_emoji("да", ["boredom"], np.random.default_rng(0))


def test_the_order_of_the_emotions_says_nothing() -> None:
    orders = (["fear", "joy"], ["joy", "fear"], {"joy", "fear"})
    assert len({with_emoji("да", emotions, np.random.default_rng(3)) for emotions in orders}) == 1

"""Word errors at a wanted rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.augment.sounds import sound_alikes
from training.data.augment.word_errors import add_noise, word_error_rate, word_errors

TEXTS = [
    "здравствуйте я звоню по поводу заказа который должен был приехать еще вчера",
    "слушай я так испугалась когда он вышел из за угла честное слово",
    "ну не знаю может быть завтра",
    "спасибо большое вы мне очень помогли",
    "отвратительный сервис больше никогда сюда не приду и другим не посоветую",
    "в 8 часов вечера мы сидели дома и смотрели кино",
    "да",
    "ужас какой",
]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("мама мыла раму", "мама мыла раму", 0),
        ("мама мыла раму", "мама раму", 1),
        ("мама мыла раму", "мама мама мыла рану", 2),
        ("мама мыла раму", "мамамыла раму", 2),
        ("мама мыла раму", "", 3),
        ("", "мама", 1),
    ],
)
def test_word_errors_are_the_edit_distance_over_words(reference: str, hypothesis: str, errors: int) -> None:
    assert word_errors(reference, hypothesis) == errors


def test_the_word_error_rate_is_per_word_of_the_reference() -> None:
    assert word_error_rate("мама мыла раму", "мама мыла") == pytest.approx(1 / 3)
    assert word_error_rate("", "") == 0


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.3])
def test_the_measured_word_error_rate_is_the_wanted_one(rate: float) -> None:
    random = np.random.default_rng(7)
    pairs = [(text, add_noise(text, rate, random)) for _ in range(500) for text in TEXTS]
    errors = sum(word_errors(said, heard) for said, heard in pairs)
    words = sum(len(said.split()) for said, _ in pairs)
    assert errors / words == pytest.approx(rate, rel=0.05)


@given(st.lists(st.text("абвекостья", min_size=1, max_size=9), max_size=12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_noise_makes_no_more_errors_than_asked_for_and_never_silence(words: list[str], rate: float, seed: int) -> None:
    text = " ".join(words)
    heard = add_noise(text, rate, np.random.default_rng(seed))
    assert word_errors(text, heard) <= rate * len(words) + 1
    assert bool(heard) == bool(text)
    assert heard == " ".join(heard.split())


def test_equal_seeds_make_equal_errors() -> None:
    first, second = ([add_noise(text, 0.3, random) for text in TEXTS] for random in map(np.random.default_rng, (5, 5)))
    assert first == second
    assert first != TEXTS


@given(st.text())
def test_a_rate_of_0_leaves_the_text_as_it_is(text: str) -> None:
    assert add_noise(text, 0, np.random.default_rng(0)) == text


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_beyond_0_and_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="is not between 0 and 1"):
        add_noise("да", rate, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("word", "heard"),
    [
        ("молоко", "малоко"),
        ("весна", "висна"),
        ("гриб", "грип"),
        ("сад", "сат"),
        ("друг", "друк"),
        ("любовь", "любофь"),
        ("мороз", "морос"),
        ("муж", "муш"),
        ("ложка", "лошка"),
        ("боится", "боиться"),
        ("бояться", "боятся"),
        ("соль", "сол"),
        ("брат", "брать"),
        ("подъезд", "подезд"),
        ("классный", "класный"),
        ("честный", "чесный"),
        ("хорошего", "хорошева"),
        ("красивый", "красивой"),
        ("знает", "знаит"),
        ("не", "ни"),
        ("он", "но"),
    ],
)
def test_a_word_sounds_like(word: str, heard: str) -> None:
    assert heard in {other for kind in sound_alikes(word) for other in kind}


@given(st.text("абвгдежзийклмнопрстуфхцчшщъыьэюя", min_size=1, max_size=14))
def test_what_sounds_alike_is_one_other_word(word: str) -> None:
    for kind in sound_alikes(word):
        assert kind
        for other in kind:
            assert other
            assert other != word
            assert " " not in other


@pytest.mark.parametrize("word", ["8", "iphone", "2024"])
def test_numbers_and_foreign_words_sound_like_nothing_else(word: str) -> None:
    assert sound_alikes(word) == ()

"""Words that carried a score, by leaving them out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from worker.inference.explain import PLAN, emotion_to_explain, marked_words, weigh_words

HEAVY = "ненавижу"


class WordClassifier:
    """Anger where the text holds a word, and nothing elsewhere; counts the words that it reads."""

    version = "words-1"
    convention = "calls"
    language = "ru"
    rule = Rule(np.full(len(EMOTIONS), 0.5, np.float32))

    def __init__(self) -> None:
        self.words = 0

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        self.words += sum(len(text.split()) for text in texts)
        scores = np.full((len(texts), len(EMOTIONS)), 0.1, np.float32)
        scores[:, 0] = [0.95 if HEAVY in text.split() else 0.05 for text in texts]
        return scores

    def classify_windows(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        return self.classify(texts), [1] * len(texts)


@pytest.mark.parametrize("place", [0, 3, 8])
def test_of_a_short_text_exactly_the_word_that_carried_the_score_is_marked(place: int) -> None:
    words = ["раз"] * 9
    words[place] = HEAVY.capitalize()

    (weights,) = weigh_words(WordClassifier(), [" ".join(words)], ["anger"])

    assert marked_words(weights) == [place]
    assert weights[place] == pytest.approx(2 * np.log(19), rel=1e-3)


@pytest.mark.parametrize("place", [0, 10, 17])
def test_of_a_longer_text_a_second_look_finds_the_word(place: int) -> None:
    words = [f"слово{number}" for number in range(18)]
    words[place] = HEAVY

    (weights,) = weigh_words(WordClassifier(), [" ".join(words)], ["anger"])

    assert marked_words(weights) == [place]


def test_no_text_costs_more_than_ten_times_its_scoring() -> None:
    texts = [" ".join([HEAVY, *["слово"] * more]) for more in (0, 1, 8, 9, 30, 63)]
    for text in texts:
        classifier = WordClassifier()
        weigh_words(classifier, [text], ["anger"])
        assert classifier.words <= (PLAN.passes + 1) * len(text.split())


def test_a_text_that_no_single_word_carries_has_no_marks() -> None:
    (weights,) = weigh_words(WordClassifier(), ["просто слова без всего"], ["anger"])

    assert marked_words(weights) == []


def test_the_strongest_emotion_is_explained_and_neutral_is_not() -> None:
    scores = [0.6, 0.1, 0.9, 0.1, 0.1, 0.1, 0.95]
    assert emotion_to_explain(["anger", "fear", "neutral"], scores) == "fear"
    assert emotion_to_explain(["neutral"], scores) is None
    assert emotion_to_explain([], scores) is None

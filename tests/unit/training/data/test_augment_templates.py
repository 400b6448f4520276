"""Rows from templates: what they are labelled, and that they are distinct and whole."""

import re
from itertools import combinations

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.data.augment.templates import synthesize, templates
from training.data.text_forms import as_spoken
from training.errors import UnusableData

RARE = ("fear", "disgust")


@pytest.mark.parametrize("emotion", RARE)
def test_rare_emotions_have_2000_rows_of_which_no_two_are_near_duplicates(emotion: str) -> None:
    texts = synthesize(emotion, 2_000, seed=1).texts
    assert len(set(map(as_spoken, texts))) == 2_000
    bags = [frozenset(as_spoken(text).split()) for text in texts]
    near = sum(len(one & other) >= 0.8 * len(one | other) for one, other in combinations(bags, 2))
    assert near <= 10


@pytest.mark.parametrize("emotion", RARE)
def test_rare_emotions_have_40_templates_with_several_slots_of_10_phrases(emotion: str) -> None:
    ours = templates(emotion)
    assert len(ours) >= 40
    for template in ours:
        assert len(template.fillers) >= 2, template.text
        assert all(len(phrases) >= 10 for phrases in template.fillers), template.text
        assert all(len(set(phrases)) == len(phrases) for phrases in template.fillers), template.text


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_emotion_has_distinct_sentences_without_a_trace_of_the_templates(emotion: str) -> None:
    rows = synthesize(emotion, 300, seed=3)
    assert len(set(rows.texts)) == 300
    for text in rows.texts:
        assert re.fullmatch(r"[А-ЯЁ][А-яЁё ,-]*[а-яё]", text), text
        assert not re.search(r"  | ,|,,", text), text


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_rows_are_marked_and_carry_their_emotion(emotion: str) -> None:
    rows = synthesize(emotion, 20, seed=0)
    assert rows.source == "synthetic"
    assert rows.language == "ru"
    assert rows.ids == [f"synthetic-{emotion}-{at}" for at in range(20)]
    assert rows.targets.shape == rows.annotated.shape == (20, 7)
    assert rows.targets[:, EMOTIONS.index(emotion)].all()
    assert rows.annotated[:, EMOTIONS.index(emotion)].all()


def test_some_rows_carry_a_second_emotion_and_what_a_listener_may_hear_or_not_is_not_annotated() -> None:
    rows = synthesize("fear", 2_000, seed=0)
    sadness = EMOTIONS.index("sadness")
    both = rows.targets.sum(axis=1) == 2
    assert both.any()
    assert not both.all()
    assert (rows.annotated | (rows.targets == 0)).all()
    assert (rows.annotated[:, sadness] == (rows.targets[:, sadness] == 1)).all()


def test_equal_seeds_make_equal_rows_and_fewer_are_the_first_of_more() -> None:
    more = synthesize("disgust", 100, seed=5)
    assert synthesize("disgust", 40, seed=5).texts == more.texts[:40]
    assert synthesize("disgust", 100, seed=6).texts != more.texts


def test_men_and_women_speak_of_themselves_in_their_own_form() -> None:
    texts = " ".join(synthesize("fear", 500, seed=0).texts)
    assert "испугался" in texts
    assert "испугалась" in texts


def test_all_rows_there_are_are_distinct_and_more_are_refused_with_their_number() -> None:
    most = sum(template.capacity for template in templates("surprise"))
    assert len(set(synthesize("surprise", most, seed=0).texts)) == most
    with pytest.raises(UnusableData, match=f"make {most} rows, not {most + 1}"):
        synthesize("surprise", most + 1, seed=0)


def test_no_rows_are_an_empty_set() -> None:
    rows = synthesize("joy", 0, seed=0)
    assert len(rows) == 0
    assert rows.targets.shape == (0, 7)


def test_an_emotion_without_templates_is_refused() -> None:
    with pytest.raises(UnusableData, match="no templates for boredom; name one of anger"):
        synthesize("boredom", 1, seed=0)


def test_a_sentence_is_the_template_with_one_phrase_in_each_slot() -> None:
    template = templates("fear")[0]
    rng = np.random.default_rng(0)
    apart, rest = template.order(rng)
    assert sorted([*apart, *rest]) == list(range(template.capacity))
    first, second = (template.sentence(number, 1).lower() for number in apart[:2])
    shared = [phrases for phrases in template.fillers if any(f in first and f in second for f in phrases)]
    assert len(shared) <= len(template.fillers) - 2

"""What teachers say, and whose labels it replaces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_sets import examples

from schemas.emotions import EMOTIONS
from training.data.examples import CALLS, PARALLEL, PUBLIC, Examples
from training.distill.pseudo_labels import read_lines
from training.distill.targets import (
    Teacher,
    Teachers,
    english_originals,
    mean_scores,
    replace_labels,
    served_probabilities,
    soften,
    split_by_convention,
)
from training.fit.settings import FitSettings
from training.learn.batches import Head
from training.settings import Teaching


def teachers_of(**teaching: Any) -> Teachers:
    settings = FitSettings(data=(), base="", output=Path("unused"), teaching=Teaching(**teaching))
    return Teachers.of(settings.teaching, settings.base, settings.plan)


def test_a_teachers_scores_hide_the_last_bits_of_its_sums() -> None:
    logits = np.array([[0.3, -2, 1, 4, -7, 0, 0.1]], np.float32)
    scores = served_probabilities(logits, [Head(PUBLIC)])
    assert (scores == served_probabilities(logits + np.float32(1e-7), [Head(PUBLIC)])).all()
    assert scores[0, 0] == pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-5)


def test_each_encoder_has_equally_many_teachers() -> None:
    teachers = teachers_of(folds=1, seeds=2, bases=("english", "other"))
    bases = [teachers.own_base(teacher) for teacher in teachers.each()]
    assert bases == [None, None, "english", "english", "other", "other"]


def test_each_seed_has_a_teacher_for_each_fold() -> None:
    assert teachers_of(folds=2, seeds=2).each() == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_an_encoder_for_originals_learns_from_them_alone_and_not_from_its_fold() -> None:
    english = examples("goemotions", "en", rows=9)
    russian = replace(examples("ru_go_emotions", rows=9), english=["one"] * 9)
    native = replace(examples("brighter", rows=2), ids=["b1", "b2"], english=["two"] * 2)
    teachers = teachers_of(folds=2, seeds=1, bases=("x",))
    sets = [english, russian, native]
    pool = english_originals(sets)
    assert pool is not None
    own = teachers.rows_for(Teacher(0, 1), sets, pool)
    assert [each.source for each in own] == ["goemotions", "ru_go_emotions", "brighter"]
    [read] = teachers.rows_for(Teacher(1, 1), sets, pool)
    assert read.language == "en"
    assert set(read.ids) == {name for name, part in zip(english.ids, english.parts(2), strict=True) if part == 0}
    [read] = teachers.rows_for(Teacher(1, 1), [native], native)
    assert set(read.texts) <= {"two"}, "what counts in part is read where nothing counts in full"


def test_teachers_read_originals_of_the_english_set_and_of_translations_alone() -> None:
    english, russian = examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3)
    translated = Examples(**{**vars(russian), "english": ["one", "two", "three"]})
    pool = english_originals([english, translated, examples("cedr")])
    assert pool is not None
    assert (pool.ids, pool.texts[2]) == (["id0", "id1", "id2"], "three")
    assert english_originals([examples("cedr")]) is None


def test_scores_replace_the_labels_of_both_languages_and_of_nothing_else() -> None:
    sets = [examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3), examples("cedr")]
    scores = np.full((2, len(EMOTIONS)), 0.25, np.float32)
    english, russian, other = replace_labels(sets, sets[0], scores)
    assert (english.targets == 0.25).all()
    assert (russian.targets[:2] == 0.25).all()
    assert (russian.targets[2] == sets[1].targets[2]).all(), "a row without an original keeps its labels"
    assert other is sets[2]


def test_the_teachers_of_a_fold_are_averaged() -> None:
    english = examples("goemotions", "en", rows=9)
    fold = english.parts(2)
    parts = {
        Teacher(seed, number): np.full((int((fold == number).sum()), 7), 0.2 + 0.2 * seed + 0.1 * number, np.float32)
        for seed in (0, 1)
        for number in (0, 1)
    }
    scores = mean_scores(english, 2, parts)
    assert scores[fold == 0] == pytest.approx((0.2 + 0.4) / 2)
    assert scores[fold == 1] == pytest.approx((0.3 + 0.5) / 2)


def test_a_temperature_draws_scores_towards_one_half() -> None:
    scores = np.array([[0.1, 0.5, 0.9]], np.float32)
    assert soften(scores, 1) is scores
    assert soften(scores, 2) == pytest.approx(np.array([[0.25, 0.5, 0.75]]), abs=1e-3)


def test_no_more_lines_are_read_than_wanted_and_they_are_spread(tmp_path: Path) -> None:
    file = tmp_path / "talk.txt"
    file.write_text("\n".join(f"- строка номер {number}" for number in range(10)), encoding="utf-8")
    every = read_lines([str(file)])
    assert every == [f"строка номер {number}" for number in range(10)]
    assert read_lines([str(file)], 5) == every[::2]
    assert read_lines([str(file)], 99) == every


def parallel() -> Examples:
    """Two texts with translations, of which nothing is known."""
    two = replace(examples(PARALLEL, rows=2), ids=["p0", "p1"], english=["Yes.", "No."])
    return replace(two, targets=np.zeros_like(two.targets), annotated=np.zeros_like(two.annotated))


def test_teachers_score_parallel_text_and_never_learn_it() -> None:
    sets, others = split_by_convention([examples("goemotions", "en"), parallel()])
    assert not others
    english = english_originals(sets)
    assert english is not None
    assert english.texts[-2:] == ["Yes.", "No."]
    teachers = teachers_of(folds=2, seeds=1, bases=("english",))
    for teacher in (Teacher(0, 0), Teacher(1, 0)):
        assert not {"p0", "p1"} & {name for each in teachers.rows_for(teacher, sets, english) for name in each.ids}
    scores = np.full((len(english), len(EMOTIONS)), 0.3, np.float32)
    scored = replace_labels(sets, english, scores)[1]
    assert scored.annotated.all()
    assert scored.targets == pytest.approx(0.3)


def test_teachers_learn_and_teach_one_convention() -> None:
    calls = replace(examples("mine"), conventions=(CALLS,), english=["a", "b", "c"])
    ours, others = split_by_convention(
        [examples("goemotions", "en"), replace(examples(), english=["d", "e", "f"]), calls]
    )
    assert [each.source for each in ours] == ["goemotions", "cedr"]
    assert [each.source for each in others] == ["mine"]
    alone, _ = split_by_convention([calls, parallel()])
    assert {each.conventions for each in alone} == {(CALLS,)}


def test_scores_of_a_student_keep_all_conventions_and_no_head_of_a_source() -> None:
    logits = np.full((1, 7 + 7 + 7), -50, np.float32)
    logits[0, 7] = 50
    scores = served_probabilities(logits, [Head(CALLS), Head(PUBLIC), Head(PUBLIC, "cedr")])
    assert scores.shape == (1, 7 + 7)
    assert scores[0, [0, 7]] == pytest.approx([0, 1], abs=1e-5)

"""What teachers say, and whose labels it replaces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_sets import examples

from schemas.emotions import EMOTIONS
from training.distillation import heard, originals, reader, soften, studied, taught, teachers, together
from training.examples import Examples
from training.lessons import FINE_HEAD
from training.settings import FitSettings, Teaching
from training.sources import FINE, grouped
from training.unlabelled import read_lines


def test_a_teacher_says_the_mean_of_what_its_two_heads_say_of_an_emotion() -> None:
    logits = np.full((1, 7 + 7 + 28), -50, np.float32)
    logits[0, [0, 14 + FINE.index("annoyance")]] = 50, 0
    said = heard(logits, ["served", "cedr", FINE_HEAD])
    assert said.shape == (1, 35)
    assert said[0, 0] == pytest.approx((1 + 0.5) / 2, abs=1e-5)
    assert said[0, 7 + FINE.index("annoyance")] == pytest.approx(0.5, abs=1e-5)
    assert heard(logits, ["served", "cedr"]).shape == (1, 7)


def test_what_a_teacher_says_hides_the_last_bits_of_its_sums() -> None:
    logits = np.array([[0.3, -2, 1, 4, -7, 0, 0.1]], np.float32)
    said = heard(logits, ["served"])
    assert (said == heard(logits + np.float32(1e-7), ["served"])).all()
    assert said[0, 0] == pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-5)


def test_an_emotion_is_absent_where_all_its_fine_labels_are() -> None:
    fine = np.zeros((1, len(FINE)), np.float32)
    fine[0, [FINE.index("fear"), FINE.index("nervousness")]] = 0.5, 0.2
    assert dict(zip(EMOTIONS, grouped(fine)[0], strict=True))["fear"] == pytest.approx(1 - 0.5 * 0.8)
    assert grouped(fine)[0].sum() == pytest.approx(0.6)


def test_generations_of_teachers_share_no_seed() -> None:
    teaching = Teaching(folds=2, seeds=2)
    both = [*teachers(teaching, 0), *teachers(teaching, 1)]
    assert both[:4] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(set(both)) == 8


def test_each_encoder_has_as_many_teachers_of_each_generation() -> None:
    teaching = Teaching(folds=1, seeds=2, bases=("english", "other"))
    for generation in (0, 1):
        readers = [reader(teaching, seed) for seed, _ in teachers(teaching, generation)]
        assert readers == [None, None, "english", "english", "other", "other"]


def test_an_encoder_for_originals_learns_from_them_alone_and_not_from_its_fold() -> None:
    english = replace(examples("goemotions", "en", rows=9), fine=np.ones((9, len(FINE)), np.float32))
    russian = replace(examples("ru_go_emotions", rows=9), english=["one"] * 9)
    native = replace(examples("brighter", rows=2), ids=["b1", "b2"], english=["two"] * 2)
    settings = FitSettings(data=(), base="", output=Path("unused"), teaching=Teaching(folds=2, seeds=1, bases=("x",)))
    sets = [english, russian, native]
    pool = originals(sets)
    assert pool is not None
    own = studied(sets, pool, settings, (0, 1))
    assert [each.source for each in own] == ["goemotions", "ru_go_emotions", "brighter"]
    [read] = studied(sets, pool, settings, (1, 1))
    assert (read.language, read.fine is not None) == ("en", True)
    assert set(read.ids) == {name for name, part in zip(english.ids, english.parts(2), strict=True) if part == 0}
    [read] = studied([native], native, settings, (1, 1))
    assert set(read.texts) <= {"two"}, "what counts in part is read where nothing counts in full"


def test_teachers_read_originals_of_the_english_set_and_of_translations_alone() -> None:
    english, russian = examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3)
    translated = Examples(**{**vars(russian), "english": ["one", "two", "three"]})
    pool = originals([english, translated, examples("cedr")])
    assert pool is not None
    assert (pool.ids, pool.texts[2]) == (["id0", "id1", "id2"], "three")
    assert originals([examples("cedr")]) is None


def test_scores_replace_the_labels_of_both_languages_and_of_nothing_else() -> None:
    sets = [examples("goemotions", "en", rows=2), examples("ru_go_emotions", rows=3), examples("cedr")]
    scores = np.full((2, len(EMOTIONS)), 0.25, np.float32)
    english, russian, other = taught(sets, sets[0], scores)
    assert (english.targets == 0.25).all()
    assert (russian.targets[:2] == 0.25).all()
    assert (russian.targets[2] == sets[1].targets[2]).all(), "a row without an original keeps its labels"
    assert other is sets[2]


def test_the_teachers_of_a_fold_are_averaged_and_so_are_models_from_elsewhere() -> None:
    english = examples("goemotions", "en", rows=9)
    fold = english.parts(2)
    parts = {
        (seed, number): np.full((int((fold == number).sum()), 7), 0.2 + 0.2 * seed + 0.1 * number, np.float32)
        for seed in (0, 1)
        for number in (0, 1)
    }
    scores = together(english, 2, parts, [np.full((9, 7), 0.9, np.float32)])
    assert scores[fold == 0] == pytest.approx((0.2 + 0.4 + 0.9) / 3)
    assert scores[fold == 1] == pytest.approx((0.3 + 0.5 + 0.9) / 3)


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


def test_scores_of_fine_labels_replace_them_too() -> None:
    english = replace(examples("goemotions", "en"), fine=np.zeros((3, len(FINE)), np.float32))
    scores = np.linspace(0, 1, 3 * 35, dtype=np.float32).reshape(3, 35)
    (told,) = taught([english], english, scores)
    assert told.fine is not None
    assert np.hstack([told.targets, told.fine]) == pytest.approx(scores)

"""Which texts are drawn from a real Postgres to be labelled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import make_bundle
from labelling import add_results, label, texts_of
from sqlalchemy import Engine

from schemas.emotions import EMOTIONS
from training.errors import UnusableData, UnusableRecipe
from training.labels.table import store
from training.labels.tasks import draw, scorer


def test_uncertain_texts_are_drawn_more_often_and_say_how_likely_they_were(engine: Engine) -> None:
    sure, unsure = {"joy": 0.99}, {"joy": 0.5, "fear": 0.4}
    add_results(engine, *((f"текст {at}", unsure if at < 100 else sure) for at in range(400)))
    tasks = draw(engine, "uncertain", 40)
    chances = {task["data"]["relative_chance"] for task in tasks}
    drawn = [task for task in tasks if task["data"]["relative_chance"] > 1]
    assert len(tasks) == 40
    assert {task["data"]["drawn_by"] for task in tasks} == {"uncertain"}
    assert len(chances) == 2
    assert all(int(words.split()[1]) < 100 for words in texts_of(drawn))
    assert 20 < len(drawn) < 40, "some are drawn that the model is sure of, or nothing would correct the rest"
    # Horvitz and Thompson: the inverse chances add up to what there is.
    assert sum(1 / task["data"]["relative_chance"] for task in tasks) == pytest.approx(40, rel=0.5)


def test_in_a_random_draw_every_chance_is_one(engine: Engine) -> None:
    add_results(engine, *((f"текст {at}", {"joy": 0.5 if at % 2 else 0.9}) for at in range(60)))
    tasks = [*draw(engine, "random", 10), *draw(engine, "uncertain", 10, random_share=1.0)]
    assert {task["data"]["relative_chance"] for task in tasks} == {1.0}


def test_rare_looks_for_what_was_labelled_seldom(engine: Engine) -> None:
    store(engine, [label(f"{at}", "joy") for at in range(20)])
    add_results(engine, *((f"текст {at}", {"disgust": 0.6} if at < 20 else {"joy": 0.9}) for at in range(200)))
    drawn = texts_of(draw(engine, "rare", 20, random_share=0.1))
    assert sum(int(words.split()[1]) < 20 for words in drawn) > 4, "of an equal draw it would be two"


def test_random_draws_the_same_by_the_same_seed(engine: Engine) -> None:
    add_results(engine, *((f"текст номер {at}", {"joy": 0.5}) for at in range(30)))
    assert texts_of(draw(engine, "random", 10, seed=1)) == texts_of(draw(engine, "random", 10, seed=1))
    assert texts_of(draw(engine, "random", 10, seed=1)) != texts_of(draw(engine, "random", 10, seed=2))


def test_disagreement_looks_for_what_two_models_see_differently(engine: Engine) -> None:
    add_results(engine, *((f"текст {at}", {"joy": 0.9}) for at in range(200)))

    def other(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        joy = [0.1 if int(words.split()[1]) < 20 else 0.9 for words in texts]
        return np.array([[each if name == "joy" else 0.01 for name in EMOTIONS] for each in joy], np.float32)

    drawn = texts_of(draw(engine, "disagreement", 20, other=other, random_share=0.1))
    assert sum(int(words.split()[1]) < 20 for words in drawn) > 10
    with pytest.raises(UnusableRecipe, match="--against"):
        draw(engine, "disagreement", 2)


def test_a_bundle_can_be_the_other_model(engine: Engine, tmp_path: Path) -> None:
    add_results(engine, ("Спасибо вам!", {"joy": 0.9}), ("алло", {"neutral": 0.9}))
    other = scorer(Path(make_bundle(tmp_path)))
    scores = other(["Спасибо вам!", "спасибо вам!", ""])
    assert scores.shape == (3, 7)
    assert np.allclose(scores[0], scores[1], atol=1e-6)
    assert len(draw(engine, "disagreement", 5, other=other)) == 2


def test_no_text_is_drawn_twice_nor_one_that_is_labelled_however_it_is_spelled(engine: Engine) -> None:
    add_results(
        engine,
        *[(words, {"joy": 0.5}) for words in ("Да, конечно", "да, конечно", "ещё нет", "верно", "", "эээ")],
    )
    store(engine, [label("Еще  НЕТ", "anger"), label("неверно", "anger", transcript_id="call-3")])
    assert [words.lower() for words in texts_of(draw(engine, "uncertain", 10))] == ["да, конечно"]
    store(engine, [label("да, конечно", "joy")])
    with pytest.raises(UnusableData):
        draw(engine, "uncertain", 10)

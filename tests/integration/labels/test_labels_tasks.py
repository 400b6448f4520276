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
from training.errors import UnusableRecipe
from training.labels.table import store
from training.labels.tasks import NothingToLabel, draw, scorer


def test_uncertain_texts_come_before_certain_ones(engine: Engine) -> None:
    add_results(engine, ("точно", {"joy": 0.99}), ("может", {"joy": 0.5}), ("вроде", {"joy": 0.5, "fear": 0.4}))
    assert texts_of(draw(engine, "uncertain", 2)) == ["вроде", "может"]


def test_rare_looks_for_what_was_labelled_seldom(engine: Engine) -> None:
    store(engine, [label(f"{at}", "joy") for at in range(20)])
    add_results(engine, ("рада", {"joy": 0.9}), ("фу", {"disgust": 0.6}), ("ну", {"neutral": 0.3}))
    assert texts_of(draw(engine, "rare", 3)) == ["фу", "ну", "рада"]


def test_random_draws_the_same_by_the_same_seed(engine: Engine) -> None:
    add_results(engine, *((f"текст номер {at}", {"joy": 0.5}) for at in range(30)))
    assert texts_of(draw(engine, "random", 10, seed=1)) == texts_of(draw(engine, "random", 10, seed=1))
    assert texts_of(draw(engine, "random", 10, seed=1)) != texts_of(draw(engine, "random", 10, seed=2))


def test_disagreement_puts_first_what_two_models_see_differently(engine: Engine) -> None:
    add_results(engine, ("одно", {"joy": 0.9}), ("другое", {"joy": 0.1}), ("третье", {"joy": 0.8}))

    def other(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        joy = {"одно": 0.85, "другое": 0.95, "третье": 0.5}
        return np.array([[joy[words] if name == "joy" else 0.01 for name in EMOTIONS] for words in texts], np.float32)

    assert texts_of(draw(engine, "disagreement", 2, other=other)) == ["другое", "третье"]
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
    assert texts_of(draw(engine, "uncertain", 10)) == ["Да, конечно"]
    store(engine, [label("да, конечно", "joy")])
    with pytest.raises(NothingToLabel):
        draw(engine, "uncertain", 10)

"""The leak guard, against every pair compared with every other, and on texts of either language."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.data.leakage import TOO_NEAR, NearTexts, find_leaks, overlap, without_leaks, words
from training.errors import UnusableOutput

TEXTS = st.lists(st.lists(st.sampled_from("абвгдежзик"), max_size=9).map(" ".join), max_size=12)


def examples(
    texts: Sequence[str], *, ids: Sequence[str] = (), english: list[str] | None = None, source: str = "mine"
) -> Examples:
    shape = (len(texts), len(EMOTIONS))
    names = list(ids) or [f"{source}-{at}" for at in range(len(texts))]
    return Examples(
        source, "ru", names, list(texts), np.zeros(shape, np.float32), np.ones(shape, np.bool_), english=english
    )


@given(TEXTS, TEXTS)
def test_the_index_finds_what_comparing_all_pairs_finds(train: list[str], evaluation: list[str]) -> None:
    near = NearTexts(evaluation)
    for text in train:
        found = near.nearest(text)
        best = max((overlap(words(text), words(other)) for other in evaluation), default=0)
        assert (found[1] if found else 0) == (best if best >= TOO_NEAR else 0)


@pytest.mark.parametrize(
    ("text", "other", "leaks"),
    [
        ("Спасибо!", "спасибо", True),
        ("Всё, кто-то звонит", "все кто то звонит", True),
        ("я не знаю", "я знаю", False),
        ("я вчера не звонил", "я вчера не звонил вам", True),
        ("я вчера не звонил", "я завтра не звонил", False),
        ("?!", "?!", True),
        ("", "", False),
        ("  ", "!", False),
    ],
)
def test_what_is_too_near(*, text: str, other: str, leaks: bool) -> None:
    assert bool(find_leaks(examples([text]), [examples([other])])) is leaks


def test_a_leak_names_its_row_and_the_nearest_evaluation_text() -> None:
    train = examples(["иное", "я вчера вам не звонил"])
    [leak] = find_leaks(train, [examples(["я вчера вам не звонил совсем"]), examples(["Я вчера вам не звонил."])])
    assert (leak.source, leak.row, leak.identity) == ("mine", 1, "mine-1")
    assert (leak.evaluation_text, leak.overlap) == ("Я вчера вам не звонил.", 1.0)


def test_a_translation_leaks_what_its_original_says() -> None:
    train = examples(["Ну и дела", "Ого"], english=["Well I never", "Oh"])
    evaluation = examples(["Вот это да"], english=["Well, I never!"])
    assert [leak.row for leak in find_leaks(train, [evaluation])] == [0]


def test_a_refused_row_goes_from_every_set_that_shares_its_id_and_is_listed(tmp_path: Path) -> None:
    russian = examples(["да", "нет", "ладно"], ids=["a", "b", "c"], source="russian")
    english = examples(["yes", "no", "well"], ids=["a", "b", "z"], source="english")
    listing = tmp_path / "refused.csv"
    kept, refused = without_leaks([russian, english], [examples(["Нет."])], listing)
    assert [each.ids for each in kept] == [["a", "c"], ["a", "z"]]
    assert [(leak.source, leak.row, leak.text) for leak in refused] == [("russian", 1, "нет"), ("english", 1, "no")]
    with listing.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["identity"], row["evaluation_text"], row["overlap"]) for row in rows] == [("b", "Нет.", "1.0")] * 2


@pytest.mark.parametrize("source", ["total", "event"])
def test_a_set_may_have_any_name(source: str) -> None:
    """The log counts the rows of each set by name."""
    _, refused = without_leaks([examples(["да"], source=source)], [examples(["да"])])
    assert [leak.source for leak in refused] == [source]


def test_without_leaks_all_rows_stay() -> None:
    [kept], refused = without_leaks([examples(["да"])], [])
    assert (kept.texts, refused) == (["да"], [])


def test_a_listing_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnusableOutput, match="cannot be written"):
        without_leaks([examples(["да"])], [examples(["да"])], tmp_path / "nowhere" / "refused.csv")

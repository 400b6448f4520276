"""Synonyms keep the sentence grammatical."""

import sys

import numpy as np
import pytest

from schemas.errors import UserError
from training.data.augment import synonyms as module
from training.data.augment.synonyms import replace_synonyms, synonyms

TEXT = "прекрасный подарок ужасный запах врач назначил срочную операцию он обманул меня и украл деньги"


@pytest.mark.parametrize(
    ("form", "other"),
    [
        ("подарок", "презент"),
        ("врач", "доктор"),
        ("жуткий", "страшный"),
        ("красивую", "симпатичную"),
        ("сказал", "произнес"),
        ("сказала", "произнесла"),
        ("сказали", "произнесли"),
        ("обманул", "одурачил"),
        ("проблему", "задачу"),
    ],
)
def test_a_synonym_has_the_form_of_the_word(form: str, other: str) -> None:
    assert other in synonyms(form)
    assert form not in synonyms(form)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("я", "pronouns stay"),
        ("не", "small words stay"),
        ("боюсь", "it governs a case of its own"),
        ("дома", "at home, of a house, houses"),
        ("собака", "its synonyms are masculine"),
        ("москве", "names stay"),
        ("абвгдейка", "no dictionary knows it"),
        ("iphone", "it is no Russian word"),
        ("42", "it is no word"),
        ("подарок,", "it holds a mark"),
        ("", "it is empty"),
    ],
)
def test_a_word_without_a_sure_synonym_stays(form: str, why: str) -> None:
    assert synonyms(form) == (), why


def test_words_are_replaced_one_for_one() -> None:
    for seed in range(20):
        words = replace_synonyms(TEXT, 0.7, np.random.default_rng(seed)).split()
        assert len(words) == len(TEXT.split())
        assert all(new == old or new in synonyms(old) for old, new in zip(TEXT.split(), words, strict=True))


def test_the_share_is_that_of_the_words_that_have_synonyms() -> None:
    random = np.random.default_rng(0)
    candidates = sum(bool(synonyms(word)) for word in TEXT.split())
    changed = sum(
        new != old
        for _ in range(400)
        for old, new in zip(TEXT.split(), replace_synonyms(TEXT, 0.3, random).split(), strict=True)
    )
    assert changed / (400 * candidates) == pytest.approx(0.3, abs=0.03)


def test_a_share_of_0_leaves_the_text_and_equal_seeds_make_equal_texts() -> None:
    assert replace_synonyms(TEXT, 0, np.random.default_rng(0)) == TEXT
    one, other = (replace_synonyms(TEXT, 0.9, np.random.default_rng(4)) for _ in range(2))
    assert one == other != TEXT


@pytest.mark.parametrize(
    ("package", "opened", "name"),
    [("pymorphy3", "_morphology", "pymorphy3"), ("wiki_ru_wordnet", "_wordnet", "wiki-ru-wordnet")],
)
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, opened: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    open_anew = getattr(module, opened).__wrapped__
    monkeypatch.setattr(module, opened, open_anew)
    synonyms.cache_clear()
    with pytest.raises(UserError, match=rf"need the package {name}: pip install 'asr-emotions\[augment\]'"):
        replace_synonyms("подарок", 1, np.random.default_rng(0))

"""Synonyms in place of words, from a wordnet made of the Russian Wiktionary, in the grammatical form that was there.

A wordnet knows lemmas and no context, so the choice is narrow: a word is left alone unless every reading of its form
takes the same synonym in the same form.
"""

from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

from schemas.errors import UserError

INSTALL: Final = "pip install 'asr-emotions[augment]'"

_OPEN_CLASSES: Final = frozenset(("NOUN", "ADJF", "ADJS", "COMP", "VERB", "INFN", "ADVB", "PRED"))
_UNWANTED: Final = frozenset(
    "Arch Dist Erro Infr Slng Abbr Name Surn Patr Geox Orgn Trad Anum Apro Prnt Prdx Dmns Impe Init".split()  # noqa: SIM905 - OpenCorpora's tags, as it lists them.
)

# Grammemes that say how the word stands in its sentence; the others (qualitative, personal, ...) may differ.
_STANDING: Final = frozenset(
    """
    NOUN ADJF ADJS COMP VERB INFN ADVB PRED anim inan masc femn neut ms-f sing plur nomn gent datv accs ablt loct voct
    gen1 gen2 acc2 loc1 loc2 perf impf tran intr 1per 2per 3per pres past futr indc impr incl excl Supr
    Sgtm Pltm V-be V-bi V-ej V-ey V-ie V-oy V-sh
    """.split()  # noqa: SIM905 - the same.
)

_UNLIKELY: Final = 0.02
_LARGEST_SYNSET: Final = 12
"""Larger ones hold loose company: of 28 words for "nonsense", many mean something else."""


def replace_synonyms(text: str, share: float, random: np.random.Generator) -> str:
    """Return the text with a share of its replaceable words replaced, in the forms in which they stood.

    Nouns keep gender, number, case and animacy, adjectives their agreement, verbs everything that they govern by:
    intransitive ones stay, since no dictionary here says which case they take. Names, pronouns and small words stay.

    Args:
        text: Russian, in ASR form (other words than lower-case ones without marks are left alone).
        share: probability of each word that has synonyms, 0 to 1.
        random: says which.

    Raises:
        UserError: the extra `augment` is not installed.
    """
    return " ".join(_other(word, share, random) for word in text.split(" ")) if share else text


def _other(word: str, share: float, random: np.random.Generator) -> str:
    words = synonyms(word) if random.random() < share else ()
    return words[random.integers(len(words))] if words else word


@lru_cache(maxsize=100_000)
def synonyms(form: str) -> tuple[str, ...]:
    """Return the synonyms of a word in its form, sorted, with е for ё; none where its readings disagree.

    Raises:
        UserError: the extra `augment` is not installed.
    """
    morphology = _morphology()
    if not form.isalpha() or not form.islower():
        return ()
    readings = [reading for reading in morphology.parse(form) if reading.score >= _UNLIKELY]
    if not readings or not all(_replaceable(reading) for reading in readings):
        return ()
    found = [_in_form(reading) for reading in readings]
    return tuple(sorted(set.intersection(*found) - {form}))


def _replaceable(reading: Any) -> bool:
    tag = reading.tag
    known = reading.is_known and tag.POS in _OPEN_CLASSES and not _UNWANTED & tag.grammemes
    return known and (tag.POS not in ("VERB", "INFN") or "tran" in tag)


def _in_form(reading: Any) -> set[str]:
    """Return the synonyms of one reading, each in the form that stands as this one does."""
    standing = reading.tag.grammemes & _STANDING
    forms = set()
    for lemma in _lemmas(reading.normal_form):
        for other in _morphology().parse(lemma):
            if not (other.normal_form == lemma and other.is_known) or _UNWANTED & other.tag.grammemes:
                continue
            forms |= {
                each.word.replace("ё", "е") for each in other.lexeme if each.tag.grammemes & _STANDING == standing
            }
    return forms


def _lemmas(lemma: str) -> set[str]:
    synsets = [{word.lemma() for word in synset.get_words()} for synset in _wordnet().get_synsets(lemma)]
    close = [lemmas for lemmas in synsets if len(lemmas) <= _LARGEST_SYNSET]
    return {other for lemmas in close for other in lemmas if other.isalpha() and other != lemma}


@cache
def _morphology() -> Any:
    try:
        from pymorphy3 import MorphAnalyzer  # noqa: PLC0415 - an extra.
    except ImportError as error:
        raise UserError(f"synonyms need the package pymorphy3: {INSTALL}") from error
    return MorphAnalyzer()


@cache
def _wordnet() -> Any:
    try:
        from wiki_ru_wordnet import WikiWordnet  # noqa: PLC0415 - an extra.
    except ImportError as error:
        raise UserError(f"synonyms need the package wiki-ru-wordnet: {INSTALL}") from error
    return WikiWordnet()

"""The forms in which a text is seen: as written, as a recognizer writes it, and varied."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.augment.emoji import with_emoji
from training.data.augment.templates import synthesize
from training.data.augment.word_errors import add_noise
from training.data.examples import Examples
from training.settings import Augmentation

_NO_WORD: Final = re.compile(r"[^\w\s]|_")
_SYNONYMS_A_TEXT: Final = 0.2
_LIKELY: Final = 0.5

_MISHEARD: Final = 4
"""Variants with recognition errors of a text that is seen as often; errors seen again and again are learnt by heart."""


class Form(NamedTuple):
    """Texts of a set in one form, and the share of the passes that sees them so."""

    share: float
    texts: list[str]


def as_spoken(text: str) -> str:
    """Return the text in ASR form: normalized, without punctuation.

    A hyphen within a word becomes a space, as recognizers write ("кто-то" is "кто то").
    """
    return " ".join(_NO_WORD.sub(" ", normalize(text)).split())


def forms(examples: Examples, wanted: Augmentation, passes: int, seed: int) -> list[Form]:
    """Return the texts in each form that training draws from, least like a recognizer's first.

    English originals keep their written form, which teaches best.

    Args:
        examples: Rows of one set.
        wanted: Shares of the forms.
        passes: Number of passes over the set; each of the first four has recognition errors of its own.
        seed: Random seed for what varies.
    """
    if examples.language != "ru":
        return [Form(1.0, examples.texts)]
    written = [normalize(text) for text in examples.texts]
    spoken = [as_spoken(text) for text in examples.texts]
    varied = [form for form in _varied(examples, spoken, wanted, passes, seed) if form.share]
    # Shares that make more than the whole are shares of their sum.
    share = wanted.spoken / max(1.0, total := sum(form.share for form in varied))
    smiling = _with_emoji(examples, wanted, seed) if wanted.emoji else []
    return [
        Form((1 - wanted.spoken) * (1 - wanted.emoji), written),
        *smiling,
        *(Form(share * form.share, form.texts) for form in varied),
        Form(wanted.spoken * max(0.0, 1 - total), spoken),
    ]


def _varied(examples: Examples, spoken: list[str], wanted: Augmentation, passes: int, seed: int) -> Iterator[Form]:
    """Yield variants of the ASR form, with the share of it that each takes."""
    random = np.random.default_rng(seed)
    if wanted.synonyms:
        from training.data.augment.synonyms import replace_synonyms  # noqa: PLC0415 - its packages are an extra.

        yield Form(wanted.synonyms, [replace_synonyms(text, _SYNONYMS_A_TEXT, random) for text in spoken])
    if wanted.back_translated and examples.back_translated is not None:
        yield Form(wanted.back_translated, [as_spoken(text) for text in examples.back_translated])
    if wanted.noisy:
        variants = max(1, min(_MISHEARD, passes))
        for variant in range(variants):
            yield Form(wanted.noisy / variants, list(_misheard(spoken, wanted.word_error_rate, seed, variant)))


def _misheard(spoken: list[str], rate: float, seed: int, variant: int) -> Iterator[str]:
    # Each text has a generator of its own, so that what becomes of it depends on no other.
    for at, text in enumerate(spoken):
        yield as_spoken(add_noise(text, rate, np.random.default_rng((seed, variant, at))))


def _with_emoji(examples: Examples, wanted: Augmentation, seed: int) -> list[Form]:
    """Return the written form with an emoji that fits a row's likely emotions."""
    random = np.random.default_rng(seed)
    likely = [{EMOTIONS[at] for at in np.flatnonzero(row > _LIKELY)} for row in examples.targets]
    texts = [with_emoji(text, emotions, random) for text, emotions in zip(examples.texts, likely, strict=True)]
    return [Form((1 - wanted.spoken) * wanted.emoji, [normalize(text) for text in texts])]


def synthesize_sets(wanted: Mapping[str, int], seed: int) -> list[Examples]:
    """Make rows from templates.

    Args:
        wanted: Number of rows by emotion.
        seed: Random seed for the phrases.
    """
    return [synthesize(emotion, count, seed) for emotion, count in wanted.items() if count]


def with_back_translations(examples: Examples, wanted: Augmentation) -> Examples:
    """Return Russian examples with their back-translations, where the settings ask for them."""
    from training.data.augment.back_translation import back_translate  # noqa: PLC0415 - torch takes seconds, and texts are parted without it.

    if not wanted.back_translated or examples.language != "ru":
        return examples
    there, back = wanted.translators
    translated = back_translate(examples.texts, wanted.back_translations, there=there, back=back)
    return replace(examples, back_translated=[new or old for new, old in zip(translated, examples.texts, strict=True)])

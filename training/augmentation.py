"""The forms in which a text is seen: as written, as a recognizer writes it, and varied."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.augment.back_translation import back_translate
from training.augment.emoji import with_emoji
from training.augment.noise import add_noise
from training.augment.templates import synthesize
from training.examples import Examples
from training.settings import FitSettings

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


def forms(examples: Examples, settings: FitSettings) -> list[Form]:
    """Return the texts in each form that training draws from, least like a recognizer's first.

    Only Russian is spoken here; English originals stay as they were written, since that is how they teach best.
    """
    if examples.language != "ru":
        return [Form(1.0, examples.texts)]
    wanted = settings.augmentation
    written = [normalize(text) for text in examples.texts]
    spoken = [as_spoken(text) for text in examples.texts]
    varied = [form for form in _varied(examples, spoken, settings) if form.share]
    # Shares that make more than the whole are shares of their sum.
    share = wanted.spoken / max(1.0, total := sum(form.share for form in varied))
    smiling = _smiling(examples, settings) if wanted.emoji else []
    return [
        Form((1 - wanted.spoken) * (1 - wanted.emoji), written),
        *smiling,
        *(Form(share * form.share, form.texts) for form in varied),
        Form(wanted.spoken * max(0.0, 1 - total), spoken),
    ]


def _varied(examples: Examples, spoken: list[str], settings: FitSettings) -> Iterator[Form]:
    """Yield variants of the ASR form, with the share of it that each takes."""
    wanted, random = settings.augmentation, np.random.default_rng(settings.seed)
    if wanted.synonyms:
        from training.augment.synonyms import replace_synonyms  # noqa: PLC0415 - its packages are an extra.

        yield Form(wanted.synonyms, [replace_synonyms(text, _SYNONYMS_A_TEXT, random) for text in spoken])
    if wanted.back_translated and examples.back_translated is not None:
        yield Form(wanted.back_translated, [as_spoken(text) for text in examples.back_translated])
    if wanted.noisy:
        variants = max(1, min(_MISHEARD, settings.passes(examples.source)))
        for variant in range(variants):
            yield Form(wanted.noisy / variants, list(_misheard(spoken, wanted.word_error_rate, settings.seed, variant)))


def _misheard(spoken: list[str], rate: float, seed: int, variant: int) -> Iterator[str]:
    # Each text has a generator of its own, so that what becomes of it depends on no other.
    for at, text in enumerate(spoken):
        yield as_spoken(add_noise(text, rate, np.random.default_rng((seed, variant, at))))


def _smiling(examples: Examples, settings: FitSettings) -> list[Form]:
    """Return the written form with an emoji that fits a row's likely emotions."""
    wanted, random = settings.augmentation, np.random.default_rng(settings.seed)
    likely = [{EMOTIONS[at] for at in np.flatnonzero(row > _LIKELY)} for row in examples.targets]
    texts = [with_emoji(text, emotions, random) for text, emotions in zip(examples.texts, likely, strict=True)]
    return [Form((1 - wanted.spoken) * wanted.emoji, [normalize(text) for text in texts])]


def synthetic(settings: FitSettings) -> list[Examples]:
    """Return the rows made from templates that the settings ask for."""
    wanted = {emotion: count for emotion, count in settings.augmentation.synthetic.items() if count}
    return [synthesize(emotion, count, settings.seed) for emotion, count in wanted.items()]


def with_back_translations(examples: Examples, settings: FitSettings) -> Examples:
    """Return Russian examples with what became of their texts in English and back, where the settings ask for it."""
    wanted = settings.augmentation
    if not wanted.back_translated or examples.language != "ru":
        return examples
    there, back = wanted.translators
    translated = back_translate(examples.texts, wanted.back_translations, there=there, back=back)
    return replace(examples, back_translated=[new or old for new, old in zip(translated, examples.texts, strict=True)])

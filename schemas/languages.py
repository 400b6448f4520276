"""Languages: one tag for each, in the spellings that recognizers use."""

import re
from functools import lru_cache
from typing import Final

RUSSIAN: Final = "ru"
"""What the released models were made for, and what a bundle that names no language speaks."""

_NAMES: Final = {
    "ru": ("rus", "russian", "русский"),
    "en": ("eng", "english", "английский"),
    "uk": ("ukr", "ukrainian", "украинский", "українська"),
    "be": ("bel", "belarusian", "белорусский"),
    "kk": ("kaz", "kazakh", "казахский"),
    "ky": ("kir", "kyrgyz", "киргизский"),
    "uz": ("uzb", "uzbek", "узбекский"),
    "tg": ("tgk", "tajik", "таджикский"),
    "tt": ("tat", "tatar", "татарский"),
    "hy": ("hye", "armenian", "армянский"),
    "ka": ("kat", "georgian", "грузинский"),
    "az": ("aze", "azerbaijani", "азербайджанский"),
    "de": ("deu", "german", "немецкий"),
}
"""Names by tag, the three letters of ISO 639-3 first. What is not among them stays as it is written."""

_TAG_OF: Final = {name: tag for tag, names in _NAMES.items() for name in (tag, *names)}
_UNNAMED: Final = {"", "auto", "multi", "mul", "none", "null", "und", "unknown"}
"""What recognizers write where they do not know the language; mul and und are those of ISO 639-2."""

_PARTS: Final = re.compile(r"([^\W\d_]*)((?:[-_][A-Za-z0-9]+)*)")
_LONGEST_CODE: Final = 3


@lru_cache(1024)
def tag_of(language: str | None) -> str | None:
    """Return the tag of a language, such as ``ru`` or ``ru-RU``; None where the language is not named.

    A name becomes its tag. A language that is not known here stays as it is written.

    Args:
        language: a tag or a name, such as ``ru_RU``, ``rus``, ``Russian`` or ``русский язык``.
    """
    written = (language or "").strip()
    if written.lower() in _UNNAMED:
        return None
    parts = _PARTS.match(written)
    if parts is None or parts[1].lower() not in _TAG_OF:
        return written
    # What follows a code belongs to the tag; what follows a name, such as (Russia), does not.
    return _TAG_OF[parts[1].lower()] + (parts[2].replace("_", "-") if len(parts[1]) <= _LONGEST_CODE else "")


@lru_cache(1024)
def is_foreign(tag: str | None, language: str) -> bool:
    """Whether a transcript names another language than a model's, whose scores would mean nothing.

    Args:
        tag: of the transcript's language, as `tag_of` returns it; None is taken for the model's.
        language: tag of the model's language.
    """
    return tag is not None and tag.partition("-")[0].lower() != language

"""Russian words that sound alike, letter by letter: reduced vowels, devoiced consonants, endings, small words."""

import re
from functools import lru_cache
from typing import Final

_UNVOICED: Final = "кпстфхцчшщ"
_SYLLABLE: Final = re.compile("[аеиоуыэюя]")

# In words of one syllable the vowel is stressed, and a stressed vowel is heard as it is.
_REDUCED: Final = (
    ("о", "а"),
    ("а", "о"),
    ("е", "и"),
    ("и", "е"),
    ("(?<=[бвдзклмнпрстфхчщ])я", "е"),
)

_CONSONANTS: Final = (
    *((f"{voiced}(?=ь?$)", unvoiced) for voiced, unvoiced in zip("бвгджз", "пфктшс", strict=True)),
    *((f"(?<=.){unvoiced}$", voiced) for voiced, unvoiced in zip("бвгджз", "пфктшс", strict=True)),
    *((f"(?<=.){voiced}(?=[{_UNVOICED}])", unvoiced) for voiced, unvoiced in zip("бвгджз", "пфктшс", strict=True)),
)

_SPELLINGS: Final = (
    ("ться$", "тся"),
    ("тся$", "ться"),
    ("стн", "сн"),
    ("здн", "зн"),
    ("[сз]ч", "щ"),
    ("чт", "шт"),
    ("чн", "шн"),
    ("[тд]с(?!я)", "ц"),
    ("(?<=.)([бвгдзклмнпрстф])\\1", r"\1"),
    ("(?<=[аеиоуыэюя])([лмнрс])(?=[аеиоуыэюя])", r"\1\1"),
)

_SIGNS: Final = (
    ("(?<=[бвдзлмнпрстф])ь", ""),
    ("(?<=[аеиоуыя]т)$", "ь"),
    ("(?<=.)ъ", ""),
    ("(?<=.)ъ", "ь"),
    ("(?<=[жшчщ])ь$", ""),
)

_ENDINGS: Final = (
    ("ого$", "ова"),
    ("его$", "ева"),
    ("ый$", "ой"),
    ("ой$", "ый"),
    ("ий$", "и"),
    ("(?<=[нртлвмск])ая$", "ое"),
    ("ое$", "ая"),
    ("ые$", "ый"),
    ("ую$", "ою"),
    ("ие$", "ия"),
    ("ия$", "ие"),
    ("ом$", "ам"),
    ("ами$", "ам"),
    ("ах$", "ам"),
    ("ов$", "ав"),
    ("ет$", "ит"),
    ("ит$", "ет"),
    ("ете$", "ите"),
    ("ешь$", "ишь"),
    ("ут$", "ат"),
    ("ят$", "ют"),
    ("(?<=[аеиоуыя])л$", "ла"),
    ("(?<=[аеиоуыя])ла$", "л"),
    ("(?<=[аеиоуыя])ли$", "ла"),
    ("(?<=[аеиоуыя])ло$", "ла"),
    ("(?<=[аеиоуыя])ть$", "т"),
)

_SMALL_WORDS: Final = """
    в во | с со | к ко | не ни на | и а | он но она | ты то те | мы вы | да до | за из | по под | от о | бы был | же уже
    как так | там так | это эта эти | что чтобы | если или | у о | меня мне | его ее | их им | мой мои | твой твои
    тебя тебе | где когда | ну но | вот вон | тут тот | чем чего | для дня | при про | нет нету | еще уже | сам самый
    раз рас | ли или | кто что | потому потом | очень осень | вас нас | вам нам
"""
_GROUPS: Final = [group.split() for line in _SMALL_WORDS.split("\n") for group in line.split("|")]
_CONFUSED: Final = {
    word: tuple({other: None for group in _GROUPS if word in group for other in group if other != word})
    for word in sorted({word for group in _GROUPS for word in group})
}

_LETTERS: Final = tuple(
    tuple((re.compile(pattern), replacement) for pattern, replacement in rules)
    for rules in (_REDUCED, _CONSONANTS, _SPELLINGS, _SIGNS, _ENDINGS)
)


@lru_cache(maxsize=50_000)
def sound_alikes(word: str) -> tuple[tuple[str, ...], ...]:
    """Return what a word of ASR form may be heard as.

    Returns:
        For each kind of confusion that the word admits (another small word, vowels, consonants, spellings, signs,
        endings), the words it makes, one letter or ending at a time; nothing for numbers and foreign words.
    """
    kinds = [_CONFUSED.get(word, ())]
    several_syllables = len(_SYLLABLE.findall(word)) > 1
    for rules in _LETTERS if several_syllables else _LETTERS[1:4]:
        changed = [
            word[: match.start()] + match.expand(replacement) + word[match.end() :]
            for pattern, replacement in rules
            for match in pattern.finditer(word)
        ]
        kinds.append(tuple(dict.fromkeys(other for other in changed if other != word)))
    return tuple(words for words in kinds if words)

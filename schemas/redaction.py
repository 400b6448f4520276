"""Numbers of cards, phones and passports, taken out of a text before it is stored.

Digits are found as recognizers write them, in groups or one by one, with marks between. Numbers that are spelled in
words are read as digits first, in the nominative, as people dictate them: "восемь девятьсот шестнадцать" is 8 916.
Rather too much is taken out than too little: a text loses a number, and nothing of what was felt.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, Literal, NamedTuple

Secret = Literal["card", "phone", "passport"]

_MARK: Final = r"[\s().,…‐-―−-]"
_GAP: Final = rf"{_MARK}{{0,4}}"
"""What may stand between two groups of digits."""

_PATTERNS: Final[dict[Secret, str]] = {
    # Of nearly all cards. The check digit does not count: a recognizer that errs in one digit leaves 15 right ones.
    "card": rf"\d(?:{_GAP}\d){{15}}",
    # Of Russia after 7 or 8, where area codes begin with 3, 4, 8 or 9; its mobile ones also without; of any other
    # country after a plus. The code is one group, or single digits: sums of money are written otherwise.
    "phone": rf"\+7(?:{_GAP}\d){{10}}|\+(?!7)\d(?:{_GAP}\d){{9,14}}"
    rf"|[78](?:[3489]\d\d|{_MARK}{{1,4}}[3489] ?\d ?\d)(?:{_GAP}\d){{7}}"
    rf"|9\d\d(?:{_GAP}\d){{7}}|9(?: \d){{9}}",
    # Two digits of the series, two more, and six of the number; or ten digits one by one.
    "passport": r"\d\d(?:[\s-]?\d){2}(?:[\s,]{0,2}|[\s.,:;]{0,3}(?:номер|№)[\s.,:]{0,3})\d(?:[\s-]?\d){5}|\d(?: \d){9}",
}
_PASSES: Final[tuple[tuple[Secret, ...], ...]] = (("card", "phone"), ("passport",))
"""Kinds that are sought together, the leftmost first. "25 4276 38…" could be a passport, so cards go before."""


def _values(words: str, first: int, step: int = 1) -> dict[str, int]:
    return {word: first + at * step for at, word in enumerate(words.split())}


_UNITS: Final = {"одна": 1, "две": 2} | _values("один два три четыре пять шесть семь восемь девять", 1)
_TEENS: Final = _values(
    "десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
    10,
)
_TENS: Final = _values("двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто", 20, 10)
_HUNDREDS: Final = _values("сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот", 100, 100)
_VALUES: Final = _UNITS | _TEENS | _TENS | _HUNDREDS | {"ноль": 0, "нуль": 0}


def _spelled() -> re.Pattern[str]:
    hundreds, tens, teens, units = ("|".join(names) for names in (_HUNDREDS, _TENS, _TEENS, _UNITS))
    below = rf"(?:{tens})(?:\s+(?:{units}))?|{teens}|{units}"
    # Most words are passed over by their first letter, which takes a third of the time.
    first = "".join({name[0] for name in _VALUES})
    return re.compile(rf"\b(?=[{first}])(?:(?:{hundreds})(?:\s+(?:{below}))?|{below}|ноль|нуль)\b", re.IGNORECASE)


_SPELLED: Final = _spelled()
"""A number below 1,000 in words."""

_FEWEST: Final = 10
"""Digits of the shortest number."""


class _Piece(NamedTuple):
    """A stretch of a text, or a number in words as digits."""

    text: str
    start: int
    end: int
    """Its place in the text."""


def redact(text: str, secrets: Sequence[Secret]) -> str:
    """Return a text with the name of what a number is, such as [card], in the place of each secret number.

    Args:
        text: what was said, as received.
        secrets: kinds of numbers that are taken out.
    """
    if secrets and _digit_count(text) >= _FEWEST:
        for kinds in _PASSES:
            if wanted := tuple(kind for kind in kinds if kind in secrets):
                text = _redact_together(text, wanted)
    return text


def _digit_count(text: str) -> int:
    return sum(char.isdecimal() for piece in _in_digits(text) for char in piece.text)


def _redact_together(text: str, kinds: tuple[Secret, ...]) -> str:
    pieces = list(_in_digits(text))
    digits = "".join(piece.text for piece in pieces)
    starts, at = [], 0
    for piece in pieces:
        starts.append(at)
        at += len(piece.text)
    kept, last = [], 0
    for match in _pattern(kinds).finditer(digits):
        # A match begins and ends with digits of a number in words, or within a stretch.
        first, behind = bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1) - 1
        start = pieces[first].start + match.start() - starts[first]
        end = pieces[behind].end - (starts[behind] + len(pieces[behind].text) - match.end())
        kept += [text[last:start], f"[{match.lastgroup}]"]
        last = end
    return "".join([*kept, text[last:]])


def _in_digits(text: str) -> Iterator[_Piece]:
    last = 0
    for match in _SPELLED.finditer(text):
        yield _Piece(text[last : match.start()], last, match.start())
        value = sum(_VALUES[word] for word in match[0].lower().split())
        yield _Piece(str(value), match.start(), match.end())
        last = match.end()
    yield _Piece(text[last:], last, len(text))


@cache
def _pattern(kinds: tuple[Secret, ...]) -> re.Pattern[str]:
    either = "|".join(f"(?P<{kind}>{_PATTERNS[kind]})" for kind in kinds)
    return re.compile(rf"(?<!\d)(?:{either})(?!\d)", re.IGNORECASE)

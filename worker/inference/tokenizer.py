"""From texts to token ids, fast: words are tokenized once and remembered."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from tokenizers import Tokenizer

_MOST_BYTES: Final = 64_000_000
"""Bytes of the words remembered: some 200,000, more than a week of calls has. When they are full, all are forgotten."""

_LONGEST: Final = 64
"""Letters of a word that is remembered; what is longer is no word, and would push out some that are."""

_ID_BYTES: Final = 40
"""A token id in a list: a Python integer and the reference to it."""

_ENTRY_BYTES: Final = 100
"""A word's place in the dictionary, and its list without the ids."""

_SAMPLE: Final = (
    "алло добрый день я по поводу заказа номер 12 345",
    "ну не знаю, честно говоря… очень-очень странно!",
    "iphone 15 pro max это wi-fi «роутер» или нет?",
    "ага (смеется) 100% так и есть :) ё-моё",
    "a",
)


class Tokens:
    """Token ids of texts, in windows of a length at most, with the special tokens around each.

    A SentencePiece tokenizer splits at spaces first, so that the ids of a text are those of its words in a
    row, and a dictionary of words is nine times as fast as the tokenizer. Whether that holds for the
    tokenizer at hand is tried out at load; where it does not, each text goes through the tokenizer.

    Args:
        tokenizer: the bundle's tokenizer; its own truncation and padding are turned off.
        max_tokens: the longest sequence, special tokens included; a longer text becomes windows of nearly one length.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._encode: Callable[..., Any] = tokenizer.encode_batch
        tokenizer.no_truncation()
        tokenizer.no_padding()
        empty = self._ids([""], special=True)[0]
        one = self._ids(["да"], special=True)[0]
        inner = len(self._ids(["да"], special=False)[0])
        before = next((at for at in range(len(one)) if one[at : at + inner] == self._ids(["да"], special=False)[0]), 0)
        self._prefix, self._suffix = empty[:before], empty[before:]
        self._room = max_tokens - len(empty)
        self._words: dict[str, list[int]] = {}
        self._bytes = 0
        self.by_words = all(self._by_words(text) == self._ids([text], special=False)[0] for text in _SAMPLE)
        """Whether words are independent of each other for this tokenizer."""

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each window of each text, special tokens included."""
        return self.windows(texts)[0]

    def windows(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the token ids of each window, special tokens included, and how many windows each text has."""
        inner = [self._by_words(text) for text in texts] if self.by_words else self._ids(texts, special=False)
        counts = [-(-len(ids) // self._room) or 1 for ids in inner]
        if len(inner) < sum(counts):
            inner = [
                ids[len(ids) * number // count : len(ids) * (number + 1) // count]
                for ids, count in zip(inner, counts, strict=True)
                for number in range(count)
            ]
        return [[*self._prefix, *ids, *self._suffix] for ids in inner], counts

    def _by_words(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in text.split(" "):
            known = self._words.get(word)
            ids += self._learn(word) if known is None else known
        return ids

    def _learn(self, word: str) -> list[int]:
        ids = self._ids([word], special=False)[0]
        if len(word) <= _LONGEST:
            size = _ENTRY_BYTES + sys.getsizeof(word) + _ID_BYTES * len(ids)
            if self._bytes + size > _MOST_BYTES:
                self._words.clear()
                self._bytes = 0
            self._words[word] = ids
            self._bytes += size
        return ids

    def _ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        return [encoding.ids for encoding in self._encode(list(texts), add_special_tokens=special)]

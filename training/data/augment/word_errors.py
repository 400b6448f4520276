"""What a recognizer would have misheard: word errors at a given rate, in Russian text of ASR form."""

from collections.abc import Callable
from typing import Final

import numpy as np

from training.data.augment.sounds import sound_alikes

INSERTED: Final = ("а", "вот", "и", "на", "не", "ну", "он", "то", "это", "я")
"""Short words that recognizers hear where there are none."""

_SHORTEST_SPLIT: Final = 5


def word_errors(reference: str, hypothesis: str) -> int:
    """Count the words to insert, delete or substitute to get from one text to the other (Levenshtein over words)."""
    heard = hypothesis.split()
    row = list(range(len(heard) + 1))
    for at, said in enumerate(reference.split(), 1):
        diagonal, row[0] = row[0], at
        for column, word in enumerate(heard, 1):
            cheapest = min(diagonal + (word != said), row[column] + 1, row[column - 1] + 1)
            diagonal, row[column] = row[column], cheapest
    return row[-1]


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return the word errors per word of the reference; of a whole set, divide the sums instead.

    An empty reference counts as one word.
    """
    return word_errors(reference, hypothesis) / max(1, len(reference.split()))


def add_noise(text: str, rate: float, random: np.random.Generator) -> str:
    """Return the text with word errors: dropped, doubled, inserted, merged and split words, and sound-alikes.

    The errors of a text are the whole numbers next to rate x words, so that `rate` is met in the mean. Each word is
    hit once at most; a merged or split word counts as two errors, as it does in the word error rate.

    At rates far beyond 0.3 the measured rate falls short (0.92 at 1), since errors side by side can make up for each
    other. Normalization says a doubled word once again, so what reaches the network has slightly fewer errors.

    Args:
        text: Russian, in ASR form.
        rate: expected word error rate, 0 (the text as it is) to 1.
        random: says where and how.

    Returns:
        One word at least, if the text has one.

    Raises:
        ValueError: the rate is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a word error rate of {rate} is not between 0 and 1")
    words = text.split()
    left = int(rate * len(words) + random.random())
    if not left:
        return text
    noise = _Noise(words, random)
    for at in random.permutation(len(words)).tolist():
        if left and not noise.touched[at]:
            left -= noise.hit(at, left)
    return " ".join(" ".join(noise.heard).split())


class _Noise:
    """What is heard for each word of a text."""

    def __init__(self, words: list[str], random: np.random.Generator) -> None:
        self.heard = list(words)
        self.touched = [False] * len(words)
        self._random = random

    def hit(self, at: int, most: int) -> int:
        """Do one possible thing to the word, and return how many word errors it makes: `most` at most."""
        # An order drawn by shares, in a tenth of the time of Generator.choice; source: Efraimidis and Spirakis (2006),
        # https://doi.org/10.1016/j.ipl.2005.11.003.
        for which in map(int, np.argsort(self._random.exponential(size=len(_KINDS)) / _SHARES)):
            errors, change = _KINDS[which]
            if errors <= most and change(self, at):
                self.touched[at] = True
                return errors
        return 0

    def drop(self, at: int) -> bool:
        if sum(map(bool, self.heard)) == 1:
            return False
        self.heard[at] = ""
        return True

    def double(self, at: int) -> bool:
        self.heard[at] += f" {self.heard[at]}"
        return True

    def insert(self, at: int) -> bool:
        self.heard[at] += f" {INSERTED[self._random.integers(len(INSERTED))]}"
        return True

    def mishear(self, at: int) -> bool:
        # Kinds of confusion are drawn first: else the vowels, which have most places, would leave little to the rest.
        kinds = sound_alikes(self.heard[at])
        if kinds:
            words = kinds[self._random.integers(len(kinds))]
            self.heard[at] = words[self._random.integers(len(words))]
        return bool(kinds)

    def merge(self, at: int) -> bool:
        after = at + 1
        if after == len(self.heard) or self.touched[after]:
            return False
        self.heard[at] += self.heard[after]
        self.heard[after] = ""
        self.touched[after] = True
        return True

    def split(self, at: int) -> bool:
        word = self.heard[at]
        if len(word) < _SHORTEST_SPLIT:
            return False
        cut = int(self._random.integers(2, len(word) - 1))
        self.heard[at] = f"{word[:cut]} {word[cut:]}"
        return True


# Of the errors of recognizers about two thirds are substitutions, a fifth deletions, the rest insertions.
_KINDS: Final[tuple[tuple[int, Callable[[_Noise, int], bool]], ...]] = (
    (1, _Noise.mishear),
    (1, _Noise.drop),
    (1, _Noise.double),
    (1, _Noise.insert),
    (2, _Noise.merge),
    (2, _Noise.split),
)
_SHARES: Final = np.array([0.56, 0.2, 0.04, 0.06, 0.08, 0.06])

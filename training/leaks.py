"""The leak guard: no row is trained on that an evaluation row repeats, whatever set a user brings.

Two texts are too near where, in ASR form, they are equal or the Jaccard index of their sets of words is 0.8 or more.
Up to three words that means the same words; texts without any word are compared by their marks.

Pairs are found by prefix filtering: put each text's words in one order, the rarest first; two sets whose index reaches
t share a word among the first len - ceil(t * len) + 1 of each. So an inverted index over the rarest words of the
evaluation rows holds every pair, and nearly nothing else.
Sources: Chaudhuri et al. (2006), https://doi.org/10.1109/ICDE.2006.9; Bayardo et al. (2007),
https://doi.org/10.1145/1242572.1242591.
"""

import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from schemas.normalization import normalize
from training.augmentation import as_spoken
from training.errors import UnusableOutput
from training.examples import Examples

TOO_NEAR: Final = 0.8
"""Jaccard index of two texts' words from which on they count as the same."""

# 0.8 * 5 is a little more than 4 in floating point.
_ROUNDING: Final = 1e-9

log = structlog.get_logger(__name__)

Words = frozenset[str]


@dataclass(frozen=True)
class Leak:
    """A training row, 0-based in its set, and the evaluation text that it is too near to."""

    source: str
    row: int
    identity: str
    text: str
    evaluation_text: str
    overlap: float


class NearTexts:
    """Finds which of some texts is nearest to another one, if any is too near.

    Args:
        texts: to be found; those that hold nothing are never found.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        by_words: dict[Words, str] = {}
        for text in texts:
            by_words.setdefault(words(text), text)
        by_words.pop(frozenset(), None)
        self._sets, self._texts = list(by_words), list(by_words.values())
        self._whole = {each: at for at, each in enumerate(self._sets)}
        self._frequency = Counter(word for each in self._sets for word in each)
        self._index: dict[str, list[int]] = defaultdict(list)
        for at, each in enumerate(self._sets):
            for word in self._rarest(each):
                self._index[word].append(at)

    def nearest(self, text: str) -> tuple[str, float] | None:
        """Return the nearest of the texts and its overlap, None where no overlap reaches `TOO_NEAR`."""
        wanted = words(text)
        if wanted in self._whole:
            return self._texts[self._whole[wanted]], 1.0
        candidates = {at for word in self._rarest(wanted) for at in self._index.get(word, ())}
        overlaps = ((overlap(wanted, self._sets[at]), at) for at in sorted(candidates))
        best, at = max(overlaps, key=lambda pair: pair[0], default=(0.0, -1))
        return (self._texts[at], best) if best >= TOO_NEAR else None

    def _rarest(self, each: Words) -> list[str]:
        """Return the words of which at least one is shared by any set that is too near."""
        first = len(each) - math.ceil(TOO_NEAR * len(each) - _ROUNDING) + 1
        return sorted(each, key=lambda word: (self._frequency[word], word))[:first] if each else []


def words(text: str) -> Words:
    """Return the set of a text's words in ASR form; of its marks, where it has no words ("?!")."""
    return frozenset(as_spoken(text).split() or normalize(text).split())


def overlap(first: Words, second: Words) -> float:
    """Return the Jaccard index, |first & second| / |first | second|; 0 for two empty sets."""
    shared = len(first & second)
    return shared / max(len(first) + len(second) - shared, 1)


def find_leaks(train: Examples, evaluation: Sequence[Examples]) -> list[Leak]:
    """Return the rows that are too near an evaluation row, in order, each with the nearest.

    English originals are compared as the texts are, on both sides: a translation leaks what its original says.

    Args:
        train: the rows to look at.
        evaluation: every set that chooses, tunes or measures anything.
    """
    return _find(train, _index(evaluation))


def without_leaks(
    sets: Sequence[Examples], evaluation: Sequence[Examples], listing: Path | None = None
) -> tuple[list[Examples], list[Leak]]:
    """Refuse all rows that are too near an evaluation row, and those that share their id in any set.

    Args:
        sets: to be trained on.
        evaluation: every set that chooses, tunes or measures anything.
        listing: file to write the refused rows to, as CSV; none is written where it is left out.

    Returns:
        The sets without these rows, and the rows, also those refused for their id alone.

    Raises:
        UnusableOutput: the listing cannot be written.
    """
    near = _index(evaluation)
    found = [{leak.row: leak for leak in _find(examples, near)} for examples in sets]
    by_id = {leak.identity: leak for leaks in found for leak in leaks.values()}
    refused = []
    kept = []
    for examples, leaks in zip(sets, found, strict=True):
        at = [row for row, identity in enumerate(examples.ids) if row in leaks or identity in by_id]
        refused += [leaks.get(row) or _with_its_id(examples, row, by_id[examples.ids[row]]) for row in at]
        kept.append(examples.take(np.setdiff1d(np.arange(len(examples)), np.array(at, np.intp))))
    counts = Counter(leak.source for leak in refused)
    log.info("rows too near evaluation rows are refused", total=len(refused), sets=dict(counts))
    if listing:
        write_leaks(refused, listing)
    return kept, refused


def _index(evaluation: Sequence[Examples]) -> NearTexts:
    return NearTexts(text for examples in evaluation for text in (*examples.texts, *(examples.english or ())))


def _find(train: Examples, near: NearTexts) -> list[Leak]:
    leaks = []
    for row, text in enumerate(train.texts):
        spellings = [text] if train.english is None else [text, train.english[row]]
        hits = [hit for hit in map(near.nearest, spellings) if hit]
        if hits:
            nearest, much = max(hits, key=lambda hit: hit[1])
            leaks.append(Leak(train.source, row, train.ids[row], text, nearest, round(much, 3)))
    return leaks


def _with_its_id(examples: Examples, row: int, leak: Leak) -> Leak:
    return Leak(examples.source, row, leak.identity, examples.texts[row], leak.evaluation_text, leak.overlap)


def write_leaks(leaks: Sequence[Leak], file: Path) -> None:
    """Write refused rows as CSV.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    try:
        with file.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, [field.name for field in fields(Leak)])
            writer.writeheader()
            writer.writerows(map(asdict, leaks))
    except OSError as error:
        raise UnusableOutput(f"{file} cannot be written: {error}. Name another file for the refused rows") from error

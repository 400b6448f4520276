"""The leak guard: no row is trained on that an evaluation row repeats, of any set that a user brings.

Two texts are too near where, in ASR form, they are equal or the Jaccard index of their sets of words is 0.8 or more.
Up to three words that means the same words; texts without any word are compared by their marks.

Pairs are found by prefix filtering: put each text's words in one order, the rarest first; two sets whose index reaches
t share a word among the first len - ceil(t * len) + 1 of each. So an inverted index over the rarest words of the
evaluation rows holds every pair, and nearly nothing else.
Sources: Chaudhuri et al. (2006), https://doi.org/10.1109/ICDE.2006.9; Bayardo et al. (2007),
https://doi.org/10.1145/1242572.1242591.
"""

import csv
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import structlog

from schemas.normalization import normalize
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.errors import UnusableOutput

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

    Words are numbers here, the rarest the smallest, and texts are runs of them in one array: 200,000 texts take some
    60 MB, most of it the texts themselves.

    Args:
        texts: to be found; those that hold nothing are never found.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: list[str] = []
        numbers: dict[str, int] = {}
        flat, lengths, seen = array("I"), array("I"), {b""}
        for text in texts:
            each = array("I", sorted(numbers.setdefault(word, len(numbers)) for word in words(text)))
            if (key := each.tobytes()) not in seen:
                seen.add(key)
                flat.extend(each)
                lengths.append(len(each))
                self._texts.append(text)
        self._lengths = np.asarray(lengths, np.int64)
        self._starts = np.concatenate([[0], self._lengths.cumsum()])
        # Number the words by how often they occur, and put each text's rarest first.
        ranks = np.empty(len(numbers), np.uint32)
        ranks[np.bincount(flat, minlength=len(numbers)).argsort(kind="stable")] = np.arange(len(numbers))
        self._ranks = {word: int(ranks[number]) for word, number in numbers.items()}
        owners = np.repeat(np.arange(len(lengths), dtype=np.uint32), self._lengths)
        self._words = ranks[np.asarray(flat)]
        self._words = self._words[np.lexsort((self._words, owners))]
        # The index: for each word the texts among whose rarest it is.
        rare = np.arange(len(owners)) - self._starts[owners] < _prefix(self._lengths)[owners]
        order = self._words[rare].argsort(kind="stable")
        self._holders = owners[rare][order]
        self._holder_starts = np.searchsorted(self._words[rare][order], np.arange(len(numbers) + 1))

    def nearest(self, text: str) -> tuple[str, float] | None:
        """Return the nearest of the texts and its overlap, None where no overlap reaches `TOO_NEAR`."""
        wanted = words(text)
        ranks = sorted(self._ranks[word] for word in wanted if word in self._ranks)
        # Words that no text holds are the rarest of all.
        first = int(_prefix(len(wanted))) - (len(wanted) - len(ranks))
        holders = [self._holders[slice(*self._holder_starts[rank : rank + 2])] for rank in ranks[: max(first, 0)]]
        if not holders:
            return None
        near = np.unique(np.concatenate(holders))
        # The index of two sets is at most the ratio of their sizes.
        sizes = self._lengths[near]
        near = near[np.minimum(sizes, len(wanted)) >= TOO_NEAR * np.maximum(sizes, len(wanted)) - _ROUNDING]
        known = set(ranks)
        best, nearest = 0.0, -1
        for at in near.tolist():
            start, stop = self._starts[at : at + 2]
            shared = len(known.intersection(self._words[start:stop].tolist()))
            if (much := shared / (len(wanted) + int(stop - start) - shared)) > best:
                best, nearest = much, at
        return (self._texts[nearest], best) if best >= TOO_NEAR else None


def _prefix(length: Any) -> Any:
    """Return of how many of a set's rarest words any set that is too near shares one; of each length, if an array."""
    return length - np.ceil(TOO_NEAR * length - _ROUNDING).astype(np.int64) + 1


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


class LeakListing:
    """Writes refused rows as CSV, one by one.

    Args:
        lines: open file to write to.
    """

    def __init__(self, lines: TextIO) -> None:
        self.count = 0
        self._writer = csv.DictWriter(lines, [field.name for field in fields(Leak)])
        self._writer.writeheader()

    def add(self, leak: Leak) -> None:
        """Write a row."""
        self._writer.writerow(asdict(leak))
        self.count += 1


def write_leaks(leaks: Sequence[Leak], file: Path) -> None:
    """Write refused rows as CSV.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    try:
        with file.open("w", encoding="utf-8", newline="") as lines:
            listing = LeakListing(lines)
            for leak in leaks:
                listing.add(leak)
    except OSError as error:
        raise UnusableOutput(f"{file} cannot be written: {error}. Name another file for the refused rows") from error

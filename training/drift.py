"""Whether what is said, or what the model makes of it, has changed between two stretches of time.

Each statistic is tested by itself: scores, lengths and shares of unknown words by Kolmogorov and Smirnov's test, shares
of rows by the chi-squared test (Fisher's exact one where a cell expects fewer than five). The p-values are corrected
together by Benjamini and Yekutieli's procedure, which holds however the statistics hang together; where nothing has
changed, an alarm is then as rare as the level says. A large window makes any trifle significant, so a change must be of
some size as well: Kolmogorov and Smirnov's D, or Cohen's h, which is the distance of two shares on a scale where equal
distances are equally easy to see.
Sources: Benjamini and Yekutieli (2001), https://doi.org/10.1214/aos/1013699998; Cohen (1988), Statistical Power
Analysis for the Behavioral Sciences, chapter 6.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, false_discovery_control, fisher_exact, ks_2samp

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.errors import UnusableData

FEWEST: Final = 100
"""Rows of a stretch below which nothing can be said."""

LEVEL: Final = 0.01
"""Share of comparisons that may raise an alarm though nothing has changed."""

FLOOR: Final = 0.1
"""Smallest change worth an alarm: D, or h (2 % of the rows become 4 %, 10 % become 13 %, 50 % become 55 %)."""

_EXPECTED: Final = 5

_WORD: Final = re.compile(r"[^\W_]+")
_LATIN: Final = re.compile(r"[a-z]")
_MARK: Final = re.compile(r"[,.!?…]")
_FILLER: Final = re.compile(
    r"\b(?:э+|э+м+|г?м{2,}|хм+|ну|вот|типа|короче|значит|как бы|это самое|так сказать|в общем|в принципе)\b"
)

Values = NDArray[np.float64]
Pair = tuple[Values, Values]


class Sample(NamedTuple):
    """n rows of results.

    Attributes:
        texts: n, as received.
        scores: n x 7; NaN where the text was empty.
        assigned: n x 7, True where the row carries the emotion.
        models: n, the version that scored each.
    """

    texts: Sequence[str]
    scores: NDArray[np.float32]
    assigned: NDArray[np.bool_]
    models: Sequence[str]

    def scored_by(self, model: str) -> "Sample":
        """Return the rows that this model gave scores."""
        rows = np.flatnonzero((np.array(self.models) == model) & ~np.isnan(self.scores).any(1))
        return Sample(
            [self.texts[at] for at in rows.tolist()], self.scores[rows], self.assigned[rows], [model] * len(rows)
        )


class Change(msgspec.Struct, frozen=True):
    """One statistic in both stretches.

    Attributes:
        name: of the statistic.
        reference: its mean, or the share of rows, before.
        window: the same now.
        effect: size of the change, D or h by `measure`.
        measure: how the size is measured.
        p_value: corrected for the number of statistics.
        drifted: whether it is both beyond chance and large enough.
    """

    name: str
    reference: float
    window: float
    effect: float
    measure: str
    p_value: float
    drifted: bool

    def line(self) -> str:
        """Return all of it in a line."""
        mark = "DRIFT" if self.drifted else "  -  "
        change = f"{self.reference:.4g} -> {self.window:.4g}"
        return f"{mark}  {self.name}: {change}, {self.measure} {self.effect:.3f}, p {self.p_value:.2g}"


class Drift(msgspec.Struct, frozen=True):
    """What has changed.

    Attributes:
        found: whether anything has.
        changes: all statistics, those of the model first.
        reference_rows: rows before.
        window_rows: rows now.
        model: whose scores were compared; None where it has too few rows in the reference, as after a promotion.
        level: share of false alarms.
        floor: smallest change that counts.
    """

    found: bool
    changes: tuple[Change, ...]
    reference_rows: int
    window_rows: int
    model: str | None
    level: float
    floor: float

    def lines(self) -> list[str]:
        """Return it for people to read."""
        drifted = [change.name for change in self.changes if change.drifted]
        head = f"drift in {', '.join(drifted)}" if drifted else "no drift"
        rows = f"{self.window_rows} rows against {self.reference_rows}"
        model = f"scores of {self.model}" if self.model else "scores not compared: the model is new"
        return [f"{head} ({rows}; {model})", *(f"  {change.line()}" for change in self.changes)]

    def as_json(self) -> dict[str, Any]:
        """Return it in plain lists, numbers and strings."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class _Test(NamedTuple):
    name: str
    reference: float
    window: float
    effect: float
    measure: str
    p_value: float


def compare(reference: Sample, window: Sample, *, level: float = LEVEL, floor: float = FLOOR, seed: int = 0) -> Drift:
    """Compare a window of results with a reference.

    Rows count as independent; where few calls make up a stretch they are not, and the floor is what keeps it quiet.
    Scores and emotions are compared within the model that scored most of the window: a promotion is no drift.

    Args:
        reference: rows before.
        window: rows now.
        level: share of false alarms that is tolerated, of comparisons, not of statistics.
        floor: smallest D or h that counts.
        seed: of the half of the reference whose words are the vocabulary.

    Raises:
        UnusableData: one of them has fewer than `FEWEST` rows.
    """
    for name, sample in (("reference", reference), ("window", window)):
        if len(sample.texts) < FEWEST:
            raise UnusableData(f"the {name} holds {len(sample.texts)} rows, {FEWEST} are needed: take a longer one")
    model, tests = _model(reference, window)
    tests += _of_texts(reference.texts, window.texts, seed)
    p_values = false_discovery_control([test.p_value for test in tests], method="by")
    changes = tuple(
        Change(*test[:5], p_value=float(p), drifted=bool(p <= level and test.effect >= floor))
        for test, p in zip(tests, p_values, strict=True)
    )
    return Drift(
        found=any(change.drifted for change in changes),
        changes=changes,
        reference_rows=len(reference.texts),
        window_rows=len(window.texts),
        model=model,
        level=level,
        floor=floor,
    )


def _model(reference: Sample, window: Sample) -> tuple[str | None, list[_Test]]:
    """Return the model whose scores can be compared, and the tests of its scores and emotions."""
    ((model, _),) = Counter(window.models).most_common(1)
    before, now = reference.scored_by(model), window.scored_by(model)
    if min(len(before.texts), len(now.texts)) < FEWEST:
        return None, []
    scores = [
        _distribution(f"score of {emotion}", before.scores[:, at], now.scores[:, at])
        for at, emotion in enumerate(EMOTIONS)
    ]
    rates = [
        _share(f"rows with {emotion}", before.assigned[:, at], now.assigned[:, at])
        for at, emotion in enumerate(EMOTIONS)
    ]
    return model, [*scores, *rates]


def _of_texts(reference: Sequence[str], window: Sequence[str], seed: int) -> list[_Test]:
    before, now = ([_words(text) for text in texts] for texts in (reference, window))
    lengths = [np.array([len(words) for words in rows]) for rows in (before, now)]
    return [
        _distribution("words a text", *lengths),
        *_unknown(before, now, seed),
        _share("texts with a filler", *_holding(_FILLER, str.lower, reference, window)),
        _share("texts with Latin letters", *_holding(_LATIN, normalize, reference, window)),
        _share("texts with punctuation", *_holding(_MARK, normalize, reference, window)),
    ]


def _words(text: str) -> list[str]:
    return _WORD.findall(normalize(text))


def _unknown(before: list[list[str]], now: list[list[str]], seed: int) -> Iterator[_Test]:
    """Compare shares of unknown words: one half of the reference is the vocabulary, the other has a share as well."""
    order = np.random.default_rng(seed).permutation(len(before))
    known = {word for at in order[::2] for word in before[at]}
    shares = [
        np.array([sum(word not in known for word in words) / len(words) for words in rows if words])
        for rows in ([before[at] for at in order[1::2]], now)
    ]
    if all(map(len, shares)):
        yield _distribution("unknown words a text", *shares)


def _holding(
    pattern: re.Pattern[str], form: Callable[[str], str], reference: Sequence[str], window: Sequence[str]
) -> list[NDArray[np.bool_]]:
    return [np.array([bool(pattern.search(form(text))) for text in texts]) for texts in (reference, window)]


def _distribution(name: str, before: NDArray[Any], now: NDArray[Any]) -> _Test:
    # The exact distribution takes seconds on windows of this size and says the same.
    found = ks_2samp(before, now, method="asymp")
    means = float(before.mean()), float(now.mean())
    return _Test(name, *means, effect=float(found.statistic), measure="D", p_value=float(found.pvalue))


def _share(name: str, before: NDArray[np.bool_], now: NDArray[np.bool_]) -> _Test:
    table = np.array([[each.sum(), len(each) - each.sum()] for each in (before, now)])
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    test = fisher_exact if expected.min() < _EXPECTED else chi2_contingency
    shares = float(before.mean()), float(now.mean())
    old, new = (2 * np.arcsin(np.sqrt(share)) for share in shares)
    return _Test(name, *shares, effect=float(abs(new - old)), measure="h", p_value=float(test(table).pvalue))

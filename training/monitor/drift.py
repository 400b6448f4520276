"""Whether what is said, or what the model makes of it, has changed between two stretches of time.

Scores, lengths and shares of unknown words are compared by the largest distance of two distribution functions
(Kolmogorov and Smirnov's D), shares of rows by Cohen's h, which is the distance of two shares on a scale where equal
distances are equally easy to see. Rows of one call are alike, so whole calls are permuted: see
`training.monitor.permutation`. Where nothing has changed, at most one comparison in a hundred raises an alarm, also
with long calls that have names and moods of their own. A large window makes any trifle significant, so a change must be
of some size as well.
Source: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 6.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.errors import UnusableData
from training.monitor.permutation import Mask, Measure, differences

FEWEST: Final = 100
"""Rows of a stretch below which nothing can be said."""

LEVEL: Final = 0.01
"""Share of comparisons that may raise an alarm though nothing has changed."""

FLOOR: Final = 0.1
"""Smallest change worth an alarm: D, or h (2 % of the rows become 4 %, 10 % become 13 %, 50 % become 55 %)."""

_WORD: Final = re.compile(r"[^\W_]+")
_LATIN: Final = re.compile(r"[a-z]")
_MARK: Final = re.compile(r"[,.!?…]")
_FILLER: Final = re.compile(
    r"\b(?:э+|э+м+|г?м{2,}|хм+|ну|вот|типа|короче|значит|как бы|это самое|так сказать|в общем|в принципе)\b"
)


class Sample(NamedTuple):
    """n rows of results.

    Attributes:
        texts: n, as received; None where they were not kept.
        scores: n x 7; NaN where the text was empty.
        assigned: n x 7, True where the row carries the emotion.
        models: n, what scored each: the version, and the convention of labels, since scores differ by either.
        sessions: n, the call that each belongs to; a name of its own where none is known.
    """

    texts: Sequence[str | None]
    scores: NDArray[np.float32]
    assigned: NDArray[np.bool_]
    models: Sequence[str]
    sessions: Sequence[str]

    def take(self, rows: Iterable[int]) -> "Sample":
        """Return some of the rows."""
        at = np.array(list(rows), np.int64)
        texts, models, sessions = ([each[row] for row in at] for each in (self.texts, self.models, self.sessions))
        return Sample(texts, self.scores[at], self.assigned[at], models, sessions)


class Change(msgspec.Struct, frozen=True):
    """One statistic in both stretches.

    Attributes:
        name: of the statistic.
        reference: its mean, or the share of rows, before.
        window: the same now.
        effect: size of the change, D or h by `measure`.
        measure: how the size is measured.
        p_value: by permutation of calls, corrected for the number of statistics.
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
        window_rows: rows now, of calls that began in the window.
        reference_calls: calls of those rows.
        window_calls: calls now.
        model: whose scores were compared; None where it has too few rows in the reference, as after a promotion.
        level: share of false alarms.
        floor: smallest change that counts.
    """

    found: bool
    changes: tuple[Change, ...]
    reference_rows: int
    window_rows: int
    reference_calls: int
    window_calls: int
    model: str | None
    level: float
    floor: float

    def lines(self) -> list[str]:
        """Return it for people to read."""
        drifted = [change.name for change in self.changes if change.drifted]
        head = f"drift in {', '.join(drifted)}" if drifted else "no drift"
        rows = f"{self.window_rows} rows against {self.reference_rows}"
        if (self.window_calls, self.reference_calls) != (self.window_rows, self.reference_rows):
            rows = f"{self.window_rows} rows of {self.window_calls} calls against {self.reference_rows} of "
            rows += f"{self.reference_calls}"
        model = f"scores of {self.model}" if self.model else "scores not compared: the model is new"
        return [f"{head} ({rows}; {model})", *(f"  {change.line()}" for change in self.changes)]

    def as_json(self) -> dict[str, Any]:
        """Return it in plain lists, numbers and strings."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def compare(reference: Sample, window: Sample, *, level: float = LEVEL, floor: float = FLOOR, seed: int = 0) -> Drift:
    """Compare a window of results with a reference.

    Scores and emotions are compared within the model that scored most of the window: a promotion is no drift. A call
    that began in the reference is left out of the window.

    Args:
        reference: rows before.
        window: rows now.
        level: share of false alarms that is tolerated, of comparisons, not of statistics.
        floor: smallest D or h that counts.
        seed: random seed of the permutations, and of the half of the reference's calls whose words are the vocabulary.

    Raises:
        UnusableData: one of them has fewer than `FEWEST` rows, or so few calls that no change could raise an alarm.
    """
    begun = set(reference.sessions)
    window = window.take(row for row, session in enumerate(window.sessions) if session not in begun)
    for name, sample in (("reference", reference), ("window", window)):
        if len(sample.texts) < FEWEST:
            raise UnusableData(f"the {name} holds {len(sample.texts)} rows, {FEWEST} are needed: take a longer one")
    # Both stretches in a row, and their calls numbered.
    texts, models = [*reference.texts, *window.texts], [*reference.models, *window.models]
    now = np.arange(len(texts)) >= len(reference.texts)
    names, calls = np.unique([*reference.sessions, *window.sessions], return_inverse=True)
    call_is_now = np.zeros(len(names), np.bool_)
    call_is_now[calls[now]] = True
    vocabulary = _vocabulary(call_is_now, seed)
    model, scored = _model(window.models, models, reference, window)
    measures = [*_of_model(reference, window, scored)] if model else []
    measures += _of_texts(texts, vocabulary[calls])
    # Calls of other models have no scores to compare, and those whose words are the vocabulary stay where they are.
    strata = np.zeros(len(names), np.int64)
    strata[calls[np.array(models) == model]] = 1
    strata[vocabulary] = 2
    _require_calls(call_is_now, strata, level)
    measures = [each for each in measures if (each.counted & now).any() and (each.counted & ~now).any()]
    changes = tuple(
        Change(
            name=measure.name,
            reference=float(measure.values[measure.counted & ~now].mean()),
            window=float(measure.values[measure.counted & now].mean()),
            effect=found.effect,
            measure=measure.kind,
            p_value=found.p_value,
            drifted=found.p_value <= level and found.effect >= floor,
        )
        for measure, found in zip(measures, differences(measures, calls, call_is_now, strata, seed=seed), strict=True)
    )
    return Drift(
        found=any(change.drifted for change in changes),
        changes=changes,
        reference_rows=len(reference.texts),
        window_rows=len(window.texts),
        reference_calls=int((~call_is_now).sum()),
        window_calls=int(call_is_now.sum()),
        model=model,
        level=level,
        floor=floor,
    )


def _require_calls(call_is_now: Mask, strata: NDArray[np.int64], level: float) -> None:
    """Make sure that calls can be dealt in enough ways: the smallest p-value is one over their number."""
    sizes = ((int((strata == each).sum()), int(call_is_now[strata == each].sum())) for each in np.unique(strata))
    if math.prod(float(comb(*each)) for each in sizes) * level < 1:
        window = int(call_is_now.sum())
        raise UnusableData(
            f"only {window} calls in the window and {len(call_is_now) - window} in the reference: even a "
            "complete change would go unseen. Take longer ones"
        )


def _vocabulary(call_is_now: Mask, seed: int) -> Mask:
    """Return half of the reference's calls: their words are known, and the other half has unknown ones as well."""
    (before,) = np.nonzero(~call_is_now)
    chosen = np.zeros(len(call_is_now), np.bool_)
    chosen[np.random.default_rng(seed).permutation(before)[::2]] = True
    return chosen


def _model(
    window_models: Sequence[str], models: Sequence[str], reference: Sample, window: Sample
) -> tuple[str | None, Mask]:
    """Return the model whose scores can be compared, and which rows have scores by it."""
    ((model, _),) = Counter(window_models).most_common(1)
    has_scores = ~np.isnan(np.concatenate([reference.scores, window.scores])).any(1)
    scored: Mask = (np.array(models) == model) & has_scores
    before = len(reference.texts)
    if min(scored[:before].sum(), scored[before:].sum()) < FEWEST:
        return None, np.zeros(len(models), np.bool_)
    return model, scored


def _of_model(reference: Sample, window: Sample, scored: Mask) -> Iterator[Measure]:
    scores, assigned = (
        np.concatenate(both) for both in ((reference.scores, window.scores), (reference.assigned, window.assigned))
    )
    for at, emotion in enumerate(EMOTIONS):
        yield Measure(f"score of {emotion}", scores[:, at], scored, "D")
    for at, emotion in enumerate(EMOTIONS):
        yield Measure(f"rows with {emotion}", assigned[:, at], scored, "h")


def _of_texts(kept: Sequence[str | None], in_vocabulary: Mask) -> Iterator[Measure]:
    is_kept: Mask = np.array([text is not None for text in kept])
    texts = [text or "" for text in kept]
    words = [_WORD.findall(normalize(text)) for text in texts]
    known = {word for at in np.flatnonzero(in_vocabulary).tolist() for word in words[at]}
    lengths = np.array([len(row) for row in words])
    unknown = np.array([sum(word not in known for word in row) for row in words])
    yield Measure("words a text", lengths, is_kept, "D")
    yield Measure("unknown words a text", unknown / np.maximum(lengths, 1), ~in_vocabulary & (lengths > 0), "D")
    patterns: list[tuple[str, re.Pattern[str], Callable[[str], str]]] = [
        ("a filler", _FILLER, str.lower),
        ("Latin letters", _LATIN, normalize),
        ("punctuation", _MARK, normalize),
    ]
    for name, pattern, form in patterns:
        yield Measure(
            f"texts with {name}", np.array([bool(pattern.search(form(text))) for text in texts]), is_kept, "h"
        )

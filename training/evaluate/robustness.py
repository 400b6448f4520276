"""What another form of the texts changes: punctuation kept, words misheard."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from schemas.decisions import Floats
from training.data.augment.word_errors import add_noise, word_errors
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.evaluate.breakdowns import LIMITED_RATE, compare_decisions
from training.evaluate.metrics import counts, from_other_half
from training.evaluate.predictor import Served

_DRAWS: Final = {0.05: 1, 0.10: 1, LIMITED_RATE: 3, 0.25: 1}
"""Of errors at each rate; where their cost is limited, on 5,426 rows one cost 1.4 points, the next two 1.9 and 2.0."""

WORD_ERROR_RATES: Final = tuple(_DRAWS)
"""At which robustness is measured, in addition to 0."""

WORD_ERROR_PASSES: Final = sum(_DRAWS.values())
"""Over the rows, that measuring it takes."""

_Counts = tuple[Floats, Floats, Floats]


def by_word_errors(
    served: Served, examples: Examples, spoken: Floats, logits: Callable[[Sequence[str]], Floats]
) -> list[dict[str, Any]]:
    """Measure what word errors cost, at no rate and at each of `WORD_ERROR_RATES`.

    Args:
        served: the model.
        examples: n rows.
        spoken: n x 7, its logits of them in ASR form.
        logits: gives those of other texts.

    Returns:
        For each rate: rate, measured_rate (the word error rate that came out), and what `changed` gives.
    """
    measured = [{"rate": 0.0, "measured_rate": 0.0, **compare_forms(served, examples, spoken, [spoken])}]
    said = [as_spoken(text) for text in examples.texts]
    for rate, draws in _DRAWS.items():
        heard = [_misheard(said, rate, seed) for seed in range(draws)]
        change = compare_forms(served, examples, spoken, [logits(texts) for texts in heard])
        measured.append({"rate": rate, "measured_rate": _word_error_rate(said, heard), **change})
    return measured


def compare_forms(served: Served, examples: Examples, before: Floats, after: Sequence[Floats]) -> dict[str, Any]:
    """Compare a set in one form and in another, of which there may be several draws.

    Args:
        served: the model.
        examples: n rows.
        before: n x 7, its logits of them in one form.
        after: for each draw n x 7, of the other form.

    Returns:
        What `breakdowns.compared` does, under as_served by the manifest's thresholds, and under other_half by those of
        the half that a row is not in, chosen in the first form.
    """
    targets, known = examples.targets, examples.annotated

    def as_served(logits: Floats) -> _Counts:
        return counts(served.scores(logits), targets, served.rule, known)

    def other_half(logits: Floats) -> _Counts:
        neutral = served.rule.neutral
        scores, rule = from_other_half(before, targets, examples.parts(2), known, varied=logits, neutral=neutral)
        return counts(scores, targets, rule, known)

    return {
        counted.__name__: compare_decisions(counted(before), _mean(map(counted, after)))
        for counted in (as_served, other_half)
    }


def _mean(draws: Iterable[_Counts]) -> _Counts:
    """Return the counts of a row in the mean: their sums give the F1 of all draws together."""
    means: list[Floats] = [np.stack(each).mean(0) for each in zip(*draws, strict=True)]
    return means[0], means[1], means[2]


def _misheard(said: Sequence[str], rate: float, seed: int) -> list[str]:
    """Return texts with errors, as the model will see them."""
    random = np.random.default_rng(seed)
    return [as_spoken(add_noise(text, rate, random)) for text in said]


def _word_error_rate(said: Sequence[str], draws: Sequence[Sequence[str]]) -> float:
    words = max(1, sum(len(text.split()) for text in said))
    return sum(sum(map(word_errors, said, heard)) for heard in draws) / (len(draws) * words)

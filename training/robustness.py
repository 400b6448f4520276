"""What another form of the texts changes: punctuation kept, words misheard."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from training.augment.noise import add_noise, word_errors
from training.augmentation import as_spoken
from training.breakdowns import LIMITED_RATE, compared, weighted_f1
from training.evaluation import counts, from_other_half
from training.examples import Examples
from training.served import Served
from training.thresholds import Floats

_DRAWS: Final = {0.05: 1, 0.10: 1, LIMITED_RATE: 3, 0.25: 1}
"""Of errors at each rate; where their cost is limited, on 5,426 rows one cost 1.4 points, the next two 1.9 and 2.0."""

WORD_ERROR_RATES: Final = tuple(_DRAWS)
"""At which robustness is measured, beside 0."""

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
    measured = [{"rate": 0.0, "measured_rate": 0.0, **changed(served, examples, spoken, [spoken])}]
    said = [as_spoken(text) for text in examples.texts]
    for rate, draws in _DRAWS.items():
        heard = [_misheard(said, rate, seed) for seed in range(draws)]
        change = changed(served, examples, spoken, [logits(texts) for texts in heard])
        measured.append({"rate": rate, "measured_rate": _word_error_rate(said, heard), **change})
    return measured


def changed(served: Served, examples: Examples, before: Floats, after: Sequence[Floats]) -> dict[str, Any]:
    """Compare a set in one form and in another, of which there may be several draws.

    Thresholds that were chosen on the very rows, in one form, flatter that form; so the change is told by those of the
    other half too.

    Args:
        served: the model.
        examples: n rows.
        before: n x 7, its logits of them in one form.
        after: for each draw n x 7, of the other form.

    Returns:
        What `breakdowns.compared` does, by the manifest's thresholds, and change_by_other_half.
    """
    targets, known = examples.targets, examples.annotated

    def counted(logits: Floats) -> _Counts:
        return counts(served.scores(logits), targets, served.thresholds, known)

    def by_other_half(logits: Floats) -> _Counts:
        scores, thresholds = from_other_half(before, targets, examples.parts(2), known, varied=logits)
        return counts(scores, targets, thresholds, known)

    by_halves = weighted_f1(*_mean(map(by_other_half, after))) - weighted_f1(*by_other_half(before))
    return compared(counted(before), _mean(map(counted, after))) | {"change_by_other_half": by_halves}


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

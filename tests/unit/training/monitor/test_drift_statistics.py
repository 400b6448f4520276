"""Drift: halves of the same data raise no alarm, real changes do, and trifles do not."""

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.errors import UnusableData
from training.monitor.drift import FEWEST, Drift, Sample, compare

WORDS = [f"{first}{second}{third}" for first in "бвгдж" for second in "аеиоу" for third in "клмнпрст"]
CHANCES = 1 / np.arange(1, len(WORDS) + 1)


@cache
def population(rows: int = 20_000, seed: int = 0) -> Sample:
    """Texts as Russian calls have them, and scores that hang together as a model's do."""
    random = np.random.default_rng(seed)
    drawn = random.choice(len(WORDS), size=(rows, 20), p=CHANCES / CHANCES.sum())
    lengths = random.poisson(6, rows) + 1
    extra = (random.random((rows, 3)) < (0.07, 0.05, 0.02)).astype(int)
    texts = [
        " ".join(WORDS[at] for at in row[:length]) + " ну вот" * filler + " sms" * latin + "!" * mark
        for row, length, (filler, latin, mark) in zip(drawn, lengths, extra, strict=True)
    ]
    return Sample(texts, *scored(random, rows), ["one"] * rows, [f"call {at}" for at in range(rows)])


def scored(random: np.random.Generator, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    mood = random.normal(size=(rows, 1))
    logits = mood + random.normal(size=(rows, 7)) + np.array([-2, -4, -3, -2, -2, -2, 1]) + shift
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return scores, scores > 0.5


def halves(rows: int, seed: int) -> tuple[Sample, Sample]:
    order = np.random.default_rng(seed).choice(len(population().texts), size=rows, replace=False)
    return population().take(order[::2]), population().take(order[1::2])


def drifted(drift: Drift) -> set[str]:
    return {change.name for change in drift.changes if change.drifted}


ROWS_A_CALL = 20
ALIKE = 0.3
"""Correlation of the scores of one call's rows."""


def calls(random: np.random.Generator, count: int, *, names: bool = True) -> Sample:
    """Calls of 20 rows: each has a mood, a speaker who says much or little, and names that no other call has."""
    rows = count * ROWS_A_CALL
    call = np.repeat(np.arange(count), ROWS_A_CALL)
    mood = np.sqrt(ALIKE) * random.normal(size=(count, 7))[call] + np.sqrt(1 - ALIKE) * random.normal(size=(rows, 7))
    scores = (1 / (1 + np.exp(-1.5 * mood - np.array([-2, -3, -3, -2, -2, -2, 1])))).astype(np.float32)
    lengths = random.poisson(random.gamma(4, 1.5, count)[call]) + 1
    filler = random.random(rows) < random.beta(0.5, 6, count)[call]
    drawn = random.choice(len(WORDS), size=(rows, 60), p=CHANCES / CHANCES.sum())
    own = random.integers(10**9, size=count)[call] if names else np.zeros(rows, np.int64)
    texts = [
        " ".join(WORDS[at] for at in row[:length]) + f" имя{number}" * (number > 0) + " ну вот" * said
        for row, length, number, said in zip(drawn, lengths, own.tolist(), filler.tolist(), strict=True)
    ]
    return Sample(texts, scores, scores > 0.5, ["one"] * rows, [f"call {at}" for at in call.tolist()])


def by_call(sample: Sample, share: float) -> tuple[Sample, Sample]:
    """Part a sample after a share of its calls."""
    end = round(share * len(sample.texts) / ROWS_A_CALL) * ROWS_A_CALL
    return sample.take(range(end)), sample.take(range(end, len(sample.texts)))


def alarms(times: int, draw: Callable[[int], tuple[Sample, Sample]]) -> int:
    """Count false alarms; without the floor, which keeps small changes quiet, so that the test alone must hold it."""
    return sum(compare(*draw(seed), floor=0, seed=seed).found for seed in range(times))


TIMES = 200
MOST = 6
"""Of 200 comparisons two may raise an alarm. More than six do with a chance of 1 in 200, more than four of 100 too."""


@pytest.mark.parametrize(("count", "share"), [(60, 0.5), (80, 0.8)])
def test_where_nothing_changed_one_comparison_in_a_hundred_raises_an_alarm_also_with_long_calls(
    count: int, share: float
) -> None:
    assert alarms(TIMES, lambda seed: by_call(calls(np.random.default_rng(seed), count), share)) <= MOST


def test_where_nothing_changed_one_comparison_in_a_hundred_raises_an_alarm_with_rows_of_no_call() -> None:
    assert alarms(TIMES // 2, lambda seed: halves(400, seed)) <= MOST - 2


def test_where_most_of_the_reference_is_of_another_model_alarms_are_as_rare() -> None:
    def draw(seed: int) -> tuple[Sample, Sample]:
        reference, window = by_call(calls(np.random.default_rng(seed), 80), 0.5)
        return reference._replace(models=["zero"] * 600 + ["one"] * 200), window

    assert alarms(TIMES // 2, draw) <= MOST - 2


def test_with_calls_a_real_shift_is_found() -> None:
    reference, window = by_call(calls(np.random.default_rng(1), 400), 0.7)
    shifted = window._replace(scores=window.scores**2, assigned=window.scores**2 > 0.5)
    found = drifted(compare(reference, shifted))
    assert {f"score of {emotion}" for emotion in EMOTIONS} <= found
    assert "unknown words a text" not in found


def test_a_call_that_began_in_the_reference_is_left_out_of_the_window() -> None:
    reference, window = by_call(calls(np.random.default_rng(1), 40), 0.5)
    late = reference.take(range(100))
    both = Sample(*(np.concatenate([one, two]) if isinstance(one, np.ndarray) else [*one, *two]
                    for one, two in zip(window, late, strict=True)))  # fmt: skip
    drift = compare(reference, both)
    assert (drift.window_rows, drift.window_calls, drift.reference_calls) == (400, 20, 20)
    assert "400 rows of 20 calls against 400 of 20" in drift.lines()[0]


def with_texts(change: Callable[[str], str], every: int) -> Callable[[Sample], Sample]:
    return lambda sample: sample._replace(
        texts=[change(text) if at % every == 0 else text for at, text in enumerate(sample.texts)]
    )


def angrier(sample: Sample) -> Sample:
    assigned = sample.assigned.copy()
    assigned[np.arange(len(assigned)) % 10 == 0, 0] = True
    return sample._replace(assigned=assigned)


def more_certain(sample: Sample) -> Sample:
    scores = sample.scores.copy()
    scores[:, 3] **= 2
    return sample._replace(scores=scores)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (more_certain, {"score of joy"}),
        (angrier, {"rows with anger"}),
        (with_texts(lambda text: text + " э типа", 5), {"texts with a filler"}),
        (with_texts(lambda text: text.capitalize() + ".", 2), {"texts with punctuation"}),
        (with_texts(lambda text: text.replace("бак", "online"), 3), {"texts with Latin letters"}),
        (with_texts(lambda text: f"{text} счётчик поверка", 3), {"unknown words a text"}),
        (with_texts(lambda text: text.split()[0], 3), {"words a text"}),
    ],
    ids=["scores", "emotions", "fillers", "punctuation", "latin", "unknown", "length"],
)
def test_a_real_shift_is_found_and_named(change: Callable[[Sample], Sample], found: set[str]) -> None:
    reference, window = halves(6_000, 5)
    assert found <= drifted(compare(reference, change(window)))


@pytest.mark.parametrize("change", [more_certain, angrier], ids=["scores", "emotions"])
def test_a_shift_of_one_emotion_moves_no_other(change: Callable[[Sample], Sample]) -> None:
    reference, window = halves(6_000, 5)
    assert len(drifted(compare(reference, change(window)))) == 1


def test_a_trifle_is_no_alarm_however_sure_it_is() -> None:
    random = np.random.default_rng(3)
    texts = population().texts
    before = Sample(
        texts, *scored(random, len(texts)), ["one"] * len(texts), [f"before {at}" for at in range(len(texts))]
    )
    now = Sample(texts, *scored(random, len(texts), shift=0.1), ["one"] * len(texts), population().sessions)
    drift = compare(before, now)
    assert min(change.p_value for change in drift.changes) == 1 / 1_000
    assert not drift.found, drift.lines()


def test_after_a_promotion_only_texts_are_compared() -> None:
    reference, window = halves(2_000, 6)
    scores, assigned = scored(np.random.default_rng(1), 1_000, shift=3)
    promoted = window._replace(scores=scores, assigned=assigned, models=["two"] * 1_000)
    drift = compare(reference, promoted)
    assert not drift.found
    assert drift.model is None
    assert "the model is new" in drift.lines()[0]
    assert len(drift.changes) == 5


def test_scores_are_compared_within_the_windows_model() -> None:
    reference, window = halves(2_000, 6)
    scores, assigned = reference.scores.copy(), reference.assigned.copy()
    scores[::2], assigned[::2] = scored(np.random.default_rng(1), 500, shift=3)
    mixed = reference._replace(scores=scores, assigned=assigned, models=["zero", "one"] * 500)
    drift = compare(mixed, window)
    assert (drift.found, drift.model) == (False, "one")


def test_empty_texts_have_no_scores_and_count_among_the_texts() -> None:
    reference, window = halves(2_000, 7)
    empty = np.arange(1_000) % 4 == 0
    scores = np.where(empty[:, None], np.nan, window.scores).astype(np.float32)
    texts = ["" if gone else text for gone, text in zip(empty, window.texts, strict=True)]
    drift = compare(reference, window._replace(texts=texts, scores=scores))
    assert drifted(drift) == {"words a text"}


def test_texts_without_any_word_can_be_compared() -> None:
    reference, window = halves(400, 8)
    blank = [sample._replace(texts=[""] * 200) for sample in (reference, window)]
    assert not compare(*blank).found


def test_the_report_is_json_and_lines() -> None:
    reference, window = halves(2_000, 9)
    drift = compare(reference, angrier(window))
    plain = json.loads(json.dumps(drift.as_json()))
    assert (plain["found"], plain["model"], plain["window_rows"]) == (True, "one", 1_000)
    assert len(plain["changes"]) == 2 * len(EMOTIONS) + 5
    head, *lines = drift.lines()
    assert head == "drift in rows with anger (1000 rows against 1000; scores of one)"
    assert sum("DRIFT" in line for line in lines) == 1


def test_too_few_rows_are_no_answer() -> None:
    reference, window = halves(400, 10)
    few = window.take(range(FEWEST - 1))
    with pytest.raises(UnusableData, match="the window holds 99 rows"):
        compare(reference, few)
    with pytest.raises(UnusableData, match="the reference holds 99 rows"):
        compare(few, window)


@pytest.mark.parametrize(("before", "now"), [(1, 1), (2, 2), (5, 5), (40, 1)])
def test_too_few_calls_are_no_answer_however_many_rows_they_have(before: int, now: int) -> None:
    """Everything changed, and no permutation of so few calls could say so."""
    sample = population().take(range(1_000))
    reference, window = (
        sample._replace(sessions=[f"{name} {at % count}" for at in range(1_000)])
        for name, count in (("before", before), ("now", now))
    )
    with pytest.raises(UnusableData, match=f"only {now} calls in the window and {before} in the reference"):
        compare(reference, window._replace(texts=["hello"] * 1_000, scores=1 - window.scores))


def test_eight_calls_before_and_now_suffice_for_a_complete_change() -> None:
    sample = population().take(range(160))
    reference, window = (
        sample._replace(sessions=[f"{name} {at // 20}" for at in range(160)]) for name in ("before", "now")
    )
    assert compare(reference, window._replace(texts=["hello hello"] * 160, scores=1 - window.scores)).found

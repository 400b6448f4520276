"""Drift: halves of the same data raise no alarm, real changes do, and trifles do not."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from schemas.emotions import EMOTIONS
from training.drift import FEWEST, Drift, Sample, compare
from training.errors import UnusableData, UnusableRecipe
from training.windows import duration

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
    return Sample(texts, *scored(random, rows), ["one"] * rows)


def scored(random: np.random.Generator, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    mood = random.normal(size=(rows, 1))
    logits = mood + random.normal(size=(rows, 7)) + np.array([-2, -4, -3, -2, -2, -2, 1]) + shift
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return scores, scores > 0.5


def part(of: Sample, rows: np.ndarray) -> Sample:
    return Sample([of.texts[at] for at in rows], of.scores[rows], of.assigned[rows], [of.models[at] for at in rows])


def halves(rows: int, seed: int) -> tuple[Sample, Sample]:
    order = np.random.default_rng(seed).choice(len(population().texts), size=rows, replace=False)
    return part(population(), order[::2]), part(population(), order[1::2])


def drifted(drift: Drift) -> set[str]:
    return {change.name for change in drift.changes if change.drifted}


SIZES = (200, 600)
TIMES = 200


def test_two_halves_of_the_same_data_raise_no_alarm_in_99_of_100_comparisons() -> None:
    """The correction alone holds it: the floor, which would keep small changes quiet, is taken away."""
    alarms = {
        rows: sum(compare(*halves(rows, seed), floor=0, seed=seed).found for seed in range(TIMES)) for rows in SIZES
    }
    assert sum(alarms.values()) <= 0.01 * TIMES * len(SIZES), alarms


def test_two_halves_raise_none_with_the_floor() -> None:
    assert not any(compare(*halves(400, 1_000 + seed)).found for seed in range(100))


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
    before = Sample(texts, *scored(random, len(texts)), ["one"] * len(texts))
    now = Sample(texts, *scored(random, len(texts), shift=0.1), ["one"] * len(texts))
    drift = compare(before, now)
    assert min(change.p_value for change in drift.changes) < 1e-6
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
    few = part(window, np.arange(FEWEST - 1))
    with pytest.raises(UnusableData, match="the window holds 99 rows"):
        compare(reference, few)
    with pytest.raises(UnusableData, match="the reference holds 99 rows"):
        compare(few, window)


def test_stretches_of_time_are_read() -> None:
    assert duration("90m") == timedelta(minutes=90)
    assert [duration(text).days for text in ("24h", "7d", "2w")] == [1, 7, 14]
    for text in ("", "7", "d", "0d", "-1d", "1.5d", "7 days", "1000000d"):
        with pytest.raises(UnusableRecipe, match="no stretch of time"):
            duration(text)

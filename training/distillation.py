"""Cross-lingual teaching: what the English original says becomes the target of its Russian translation.

Machine translation is the noise of translated sets: the same network reads the originals far better. So teachers that
learned from labels score the originals that they did not see, fold by fold, and the student learns those scores. It
serves whoever has parallel text. Other models may teach too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.augment.templates import SOURCE as SYNTHETIC
from training.checkpoints import Resumable
from training.examples import Examples
from training.fine_tune import fit
from training.lessons import FINE_HEAD, columns, heads, lesson
from training.network import open_base, score
from training.settings import SERVED, Augmentation, FitSettings, Learning, Teaching
from training.sources import FINE, grouped
from training.thresholds import probabilities

log = structlog.get_logger(__name__)

Floats = NDArray[np.float32]

_STEPS: Final = 2**16 - 1
"""Between 0 and 1, for what one network says to another."""


def originals(sets: Sequence[Examples]) -> Examples | None:
    """Gather the texts to be scored by teachers: English sets, and originals that only translations carry."""
    english = [examples for examples in sets if examples.source in SERVED and examples.language == "en"]
    known = {identity for examples in english for identity in examples.ids}
    for translated in sets:
        if translated.english is not None:
            rows = np.array([at for at, name in enumerate(translated.ids) if name not in known], np.intp)
            part = translated.take(rows)
            english.append(replace(part, language="en", texts=part.english or [], english=None))
    english = [examples for examples in english if len(examples)]
    return _joined(english) if english else None


def _joined(sets: Sequence[Examples]) -> Examples:
    fine = [examples.fine for examples in sets if examples.fine is not None]
    return Examples(
        source="goemotions",
        language="en",
        ids=[identity for examples in sets for identity in examples.ids],
        texts=[text for examples in sets for text in examples.texts],
        targets=np.concatenate([examples.targets for examples in sets]),
        annotated=np.concatenate([examples.annotated for examples in sets]),
        fine=np.concatenate(fine) if len(fine) == len(sets) else None,
    )


def teachers(teaching: Teaching, generation: int) -> list[tuple[int, int]]:
    """Name each teacher of a generation by its seed, which no other has, and the fold it does not see."""
    count = teaching.seeds * (1 + len(teaching.bases))
    return [(generation * count + at, fold) for at in range(count) for fold in range(teaching.folds)]


def reader(teaching: Teaching, seed: int) -> str | None:
    """Return the encoder that a teacher of this seed has for reading originals alone; None for the run's own."""
    return (None, *teaching.bases)[seed // teaching.seeds % (1 + len(teaching.bases))]


def studied(
    sets: Sequence[Examples], english: Examples, settings: FitSettings, teacher: tuple[int, int]
) -> list[Examples]:
    """Return what a teacher learns from: nothing of its fold.

    One of an encoder of its own learns from the originals of those sets that count in full on the served head, or of
    all where none does.
    """
    seed, fold = teacher
    teaching, scored = settings.teaching, set(english.ids)
    if reader(teaching, seed):
        full = [examples for examples in sets if settings.learning.weight(examples.source) == 1]
        read = originals(full) or originals(sets)
        sets = [read] if read else []
    return [
        _without(examples, fold, teaching.folds) if scored & set(examples.ids) else examples
        for examples in sets
        if examples.source != SYNTHETIC
    ]


def learn_and_score(
    sets: Sequence[Examples],
    english: Examples,
    settings: FitSettings,
    teacher: tuple[int, int],
    resumable: Resumable | None = None,
) -> Floats:
    """Fit one teacher on all sets but one fold, or on their originals alone, and score the originals of that fold.

    A row and its translation share the id, and so the fold: neither is seen. A teacher of a later generation learns
    from scores in place of labels, and those were given by teachers that had seen this fold: through them it knows a
    little of it.

    Returns:
        Probabilities, shape (rows of the fold, 7 or 35), in the order of `english`; see `heard`.
    """
    seed, fold = teacher
    teaching = settings.teaching
    settings = _plainly(settings)
    learning, own = settings.learning, settings.seed + 1000 * seed + fold
    base, seen = reader(teaching, seed), studied(sets, english, settings, teacher)
    names = heads(seen, learning.fine_weight)
    model, tokenizer = open_base(base or settings.base, columns(names), own, teaching.network)
    lessons = [lesson(examples, tokenizer, names, settings, passes=teaching.epochs) for examples in seen]
    fit(model, tokenizer, lessons, settings, own, resumable=resumable, quiet=True)
    unseen = english.take(np.flatnonzero(english.parts(teaching.folds) == fold))
    return heard(score(model, tokenizer, unseen.texts, learning.max_tokens, columns=columns(names)), names)


def heard(logits: Floats, names: Sequence[str]) -> Floats:
    """Return what a teacher says: the served head's probabilities and, where it has them, its fine labels'.

    Two heads that learned the same labels, once in seven groups, err in different rows: their mean is the better.
    Rounded to sixteen bits, so that what sums differ by from one machine to another rarely reaches who learns from it.

    Args:
        logits: n x columns of all heads.
        names: of the heads.

    Returns:
        Probabilities, n x 7, or n x (7 + 28).
    """
    scores = probabilities(logits)
    served = scores[:, : len(EMOTIONS)]
    if FINE_HEAD in names:
        fine = scores[:, -len(FINE) :]
        served = np.hstack([(served + grouped(fine)) / 2, fine])
    return (np.rint(served * _STEPS) / _STEPS).astype(np.float32)


def _plainly(settings: FitSettings) -> FitSettings:
    """Return the settings of a teacher: what the student's texts and weights vary by leaves it as it is."""
    teaching, plain = settings.teaching, Learning()
    changes = {
        "learning_rate": teaching.learning_rate,
        "batch_size": teaching.batch_size,
        "word_dropout": 0.0,
        "ema": 0.0,
        "served_weight": plain.served_weight,
    }
    learning = settings.learning.model_copy(update=changes)
    return settings.model_copy(update={"learning": learning, "augmentation": Augmentation(noisy=0)})


def _without(examples: Examples, fold: int, folds: int) -> Examples:
    return examples.take(np.flatnonzero(examples.parts(folds) != fold))


def together(english: Examples, folds: int, parts: dict[tuple[int, int], Floats], others: Sequence[Floats]) -> Floats:
    """Return the mean of all teachers' scores.

    Args:
        english: the texts that were scored.
        folds: parts of them.
        parts: scores of each teacher's fold, of the emotions and perhaps of the fine labels.
        others: scores of all the texts, by models that were fitted elsewhere; where there are some, the emotions alone
            count.

    Returns:
        Probabilities, shape (len(english), 7 or 35).
    """
    fold = english.parts(max(folds, 1))
    width = min(scores.shape[1] for scores in [*parts.values(), *others])
    total = np.zeros((len(english), width), np.float32)
    for (_, number), scores in parts.items():
        total[fold == number] += scores[:, :width]
    for scores in others:
        total += scores
    count = len(parts) // max(folds, 1) + len(others)
    mean: Floats = (total / count).astype(np.float32)
    return mean


def soften(scores: Floats, temperature: float) -> Floats:
    """Return probabilities of the same logits, divided by a temperature."""
    if temperature == 1:
        return scores
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return probabilities(np.log(clipped / (1 - clipped)).astype(np.float32) / np.float32(temperature))


def taught(sets: Sequence[Examples], english: Examples, scores: Floats) -> list[Examples]:
    """Give rows that have a scored original the teachers' scores for targets, in place of their labels.

    Args:
        sets: all sets of the run.
        english: the rows that were scored.
        scores: len(english) x 7, or x 35 with the fine labels'.
    """
    emotions = dict(zip(english.ids, scores[:, : len(EMOTIONS)], strict=True))
    fine = dict(zip(english.ids, scores[:, len(EMOTIONS) :], strict=True)) if scores.shape[1] > len(EMOTIONS) else {}
    return [
        replace(
            examples,
            targets=_said(emotions, examples.ids, examples.targets),
            fine=examples.fine if examples.fine is None else _said(fine, examples.ids, examples.fine),
        )
        if examples.source in SERVED or examples.english is not None
        else examples
        for examples in sets
    ]


def _said(scores: Mapping[str, Floats], ids: Sequence[str], labels: Floats) -> Floats:
    """Return the scores of rows that have some, the labels of the others."""
    return np.array([scores.get(name, own) for name, own in zip(ids, labels, strict=True)], np.float32)

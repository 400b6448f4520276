"""The network that is kept, and the first one that labels lines for it: they learn in the same way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from transformers import TrainerCallback

from training.checkpoints import Resumable
from training.examples import UNLABELLED, Examples
from training.fine_tune import fit
from training.lessons import columns, heads, lesson
from training.network import open_base, warm_start
from training.settings import FitSettings

log = structlog.get_logger(__name__)


class Student(NamedTuple):
    """A network that has learned, its heads, what the Trainer logged, and the ids that its Russian texts used."""

    model: Any
    tokenizer: Any
    heads: list[str]
    history: list[dict[str, float]]
    pieces: set[int]


def fit_student(
    sets: Sequence[Examples],
    settings: FitSettings,
    *,
    resumable: Resumable | None = None,
    share: float = 1.0,
    callbacks: Sequence[TrainerCallback] = (),
) -> Student:
    """Fit a network on all sets; its output layer keeps a head for each source.

    Args:
        sets: what it learns from.
        settings: of the run.
        resumable: where its checkpoints lie; None leaves none.
        share: of the passes that it makes.
        callbacks: of the Trainer.
    """
    if settings.warm_start:
        names = heads(sets)
        model, tokenizer = warm_start(Path(settings.base), columns(names), settings.seed)
    else:
        names = heads(sets, settings.learning.fine_weight)
        model, tokenizer = open_base(settings.base, columns(names), settings.seed, settings.network)
    lessons = [
        lesson(examples, tokenizer, names, settings, passes=_some(settings.passes(examples.source), share))
        for examples in sets
    ]
    log.info("a network learns", what=resumable.folder.name if resumable else "trial", heads=names)
    history = fit(model, tokenizer, lessons, settings, settings.seed, resumable=resumable, callbacks=callbacks)
    russian = [
        lesson
        for lesson, examples in zip(lessons, sets, strict=True)
        if examples.language == "ru" and examples.source != UNLABELLED
    ]
    pieces = set().union(*(ids.distinct() for lesson in russian for _, ids in lesson.forms))
    return Student(model, tokenizer, names, history, pieces)


def _some(passes: int, share: float) -> int:
    return max(1, round(passes * share)) if passes else 0

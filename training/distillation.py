"""Cross-lingual teaching: what the English original says becomes the target of its Russian translation.

Machine translation is the noise of translated sets: the same network reads the originals far better. So teachers that
saw only originals score the originals they did not see, fold by fold, and the student learns those scores. It serves
whoever has parallel text.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.examples import Examples
from training.fine_tune import fit, open_base, score
from training.lessons import Curriculum, lesson
from training.settings import SERVED, FitSettings

log = structlog.get_logger(__name__)


def originals(sets: list[Examples]) -> Examples | None:
    """Gather the English rows of the served head: a set of them, and originals that only translations carry."""
    served = [examples for examples in sets if examples.source in SERVED]
    english = [examples for examples in served if examples.language == "en"]
    for translated in served:
        if translated.english is not None:
            known = {identity for examples in english for identity in examples.ids}
            rows = np.array([at for at, name in enumerate(translated.ids) if name not in known], np.intp)
            part = translated.take(rows)
            english.append(replace(part, language="en", texts=part.english or [], english=None))
    return _joined(english) if english else None


def _joined(sets: list[Examples]) -> Examples:
    return Examples(
        source="goemotions",
        language="en",
        ids=[identity for examples in sets for identity in examples.ids],
        texts=[text for examples in sets for text in examples.texts],
        targets=np.concatenate([examples.targets for examples in sets]),
        annotated=np.concatenate([examples.annotated for examples in sets]),
    )


def out_of_fold(english: Examples, settings: FitSettings) -> NDArray[np.float32]:
    """Score each English row with a teacher that saw neither it nor its translation.

    Returns:
        Probabilities, shape (len(english), 7).
    """
    fold = english.parts(settings.folds)
    scores = np.empty((len(english), len(EMOTIONS)), np.float32)
    for number in range(settings.folds):
        log.info("a teacher learns", teacher=number + 1, of=settings.folds)
        model, tokenizer = open_base(settings.base, len(EMOTIONS), settings.seed + number)
        seen = english.take(np.flatnonzero(fold != number))
        fit(model, tokenizer, _curriculum(seen, tokenizer, settings), settings)
        unseen = np.flatnonzero(fold == number)
        logits = score(model, tokenizer, [english.texts[at] for at in unseen], settings.max_tokens)
        scores[unseen] = 1 / (1 + np.exp(-logits))
    return scores


def _curriculum(examples: Examples, tokenizer: Any, settings: FitSettings) -> Curriculum:
    return Curriculum([lesson(examples, tokenizer, ["served"], settings, passes=settings.teacher_epochs)], settings)


def taught(sets: list[Examples], english: Examples, scores: NDArray[np.float32]) -> list[Examples]:
    """Give the served rows the teachers' scores for targets, in place of their labels.

    Args:
        sets: all sets of the run.
        english: the rows that were scored.
        scores: len(english) x 7.
    """
    by_id = dict(zip(english.ids, scores, strict=True))
    rows = []
    for examples in sets:
        if examples.source in SERVED:
            targets = [by_id.get(name, labels) for name, labels in zip(examples.ids, examples.targets, strict=True)]
            examples = replace(examples, targets=np.array(targets, np.float32))  # noqa: PLW2901 - the same rows.
        rows.append(examples)
    return rows

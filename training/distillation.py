"""Cross-lingual teaching: what the English original says becomes the target of its Russian translation.

Machine translation is the noise of translated sets: the same network reads the originals far better. So teachers that
learned from labels score the originals that they did not see, fold by fold, and the student learns those scores. It
serves whoever has parallel text. Other models may teach too, and a student may label lines for the next one.
"""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from schemas.emotions import EMOTIONS
from training.augment.templates import SOURCE as SYNTHETIC
from training.augmentation import as_spoken
from training.errors import UnusableData
from training.examples import Examples
from training.fine_tune import fit
from training.lessons import heads, lesson
from training.network import open_base, score
from training.settings import SERVED, Augmentation, FitSettings, Learning
from training.thresholds import probabilities

log = structlog.get_logger(__name__)

Floats = NDArray[np.float32]

UNLABELLED: Final = "dialogues"
"""What lines that a student labelled are called among the sets."""

_FEWEST_WORDS, _MOST_WORDS = 2, 60


def originals(sets: Sequence[Examples]) -> Examples | None:
    """Gather the texts to be scored by teachers: English sets, and originals that only translations carry."""
    english = [examples for examples in sets if examples.source in SERVED and examples.language == "en"]
    known = {identity for examples in english for identity in examples.ids}
    for translated in sets:
        if translated.english is not None:
            rows = np.array([at for at, name in enumerate(translated.ids) if name not in known], np.intp)
            part = translated.take(rows)
            english.append(replace(part, language="en", texts=part.english or [], english=None))
    return _joined(english) if english else None


def _joined(sets: Sequence[Examples]) -> Examples:
    return Examples(
        source="goemotions",
        language="en",
        ids=[identity for examples in sets for identity in examples.ids],
        texts=[text for examples in sets for text in examples.texts],
        targets=np.concatenate([examples.targets for examples in sets]),
        annotated=np.concatenate([examples.annotated for examples in sets]),
    )


def teachers(settings: FitSettings) -> list[tuple[int, int]]:
    """Name each teacher by its seed and the fold that it does not see."""
    teaching = settings.teaching
    return [(seed, fold) for seed in range(teaching.seeds) for fold in range(teaching.folds)]


def learn_and_score(
    sets: Sequence[Examples], english: Examples, settings: FitSettings, teacher: tuple[int, int]
) -> Floats:
    """Fit one teacher on the labels of all sets but one fold, and score the originals of that fold.

    A row and its translation share the id, and so the fold: neither is seen.

    Returns:
        Probabilities, shape (rows of the fold, 7), in the order of `english`.
    """
    seed, fold = teacher
    teaching = settings.teaching
    settings = _plainly(settings)
    learning = settings.learning
    scored = set(english.ids)
    seen = [
        _without(examples, fold, teaching.folds) if scored & set(examples.ids) else examples
        for examples in sets
        if examples.source != SYNTHETIC
    ]
    names = heads([examples.source for examples in seen])
    model, tokenizer = open_base(
        settings.base, len(EMOTIONS) * len(names), settings.seed + 1000 * seed + fold, learning.dropout
    )
    lessons = [lesson(examples, tokenizer, names, settings, passes=teaching.epochs) for examples in seen]
    fit(model, tokenizer, lessons, settings, settings.seed + 1000 * seed + fold, quiet=True)
    unseen = english.take(np.flatnonzero(english.parts(teaching.folds) == fold))
    return probabilities(score(model, tokenizer, unseen.texts, learning.max_tokens))


def _plainly(settings: FitSettings) -> FitSettings:
    """Return the settings of a teacher: what the student's texts and weights vary by leaves it as it is."""
    teaching, plain = settings.teaching, Learning()
    changes = {
        "learning_rate": teaching.learning_rate,
        "batch_size": teaching.batch_size,
        "word_dropout": 0.0,
        "served_weight": plain.served_weight,
    }
    learning = settings.learning.model_copy(update=changes)
    return settings.model_copy(update={"learning": learning, "augmentation": Augmentation()})


def _without(examples: Examples, fold: int, folds: int) -> Examples:
    return examples.take(np.flatnonzero(examples.parts(folds) != fold))


def together(english: Examples, folds: int, parts: dict[tuple[int, int], Floats], others: Sequence[Floats]) -> Floats:
    """Return the mean of all teachers' scores.

    Args:
        english: the texts that were scored.
        folds: parts of them.
        parts: scores of each teacher's fold.
        others: scores of all the texts, by models that were fitted elsewhere.

    Returns:
        Probabilities, shape (len(english), 7).
    """
    fold = english.parts(max(folds, 1))
    total = np.zeros((len(english), len(EMOTIONS)), np.float32)
    for (_, number), scores in parts.items():
        total[fold == number] += scores
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
        scores: len(english) x 7.
    """
    by_id = dict(zip(english.ids, scores, strict=True))
    rows = []
    for examples in sets:
        if examples.source in SERVED or examples.english is not None:
            targets = [by_id.get(name, labels) for name, labels in zip(examples.ids, examples.targets, strict=True)]
            examples = replace(examples, targets=np.array(targets, np.float32))  # noqa: PLW2901 - the same rows.
        rows.append(examples)
    return rows


def read_lines(places: Sequence[str]) -> list[str]:
    """Read lines of unlabelled text, each once: those of two words or more, without a leading dash.

    Args:
        places: text files, also compressed by gzip, or folders of them.

    Raises:
        UnusableData: there is nothing to read.
    """
    files = [file for place in places for file in _text_files(Path(place))]
    lines: dict[str, str] = {}
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as text:
            for line in text:
                said = line.strip().removeprefix("-").strip()
                spoken = as_spoken(said)
                if _FEWEST_WORDS <= len(spoken.split()) <= _MOST_WORDS:
                    lines.setdefault(spoken, said)
    return list(lines.values())


def _text_files(place: Path) -> list[Path]:
    files = [place] if place.is_file() else sorted([*place.glob("*.txt"), *place.glob("*.txt.gz")])
    if not files:
        raise UnusableData(f"{place} is neither a text file nor a folder of *.txt or *.txt.gz. Correct the path")
    return files


def labelled(lines: list[str], scores: Floats, weight: float) -> Examples:
    """Make examples of lines and the scores that a student gave them."""
    return Examples(
        source=UNLABELLED,
        language="ru",
        ids=[f"{UNLABELLED}-{at}" for at in range(len(lines))],
        texts=lines,
        targets=scores,
        annotated=np.ones((len(lines), len(EMOTIONS)), np.bool_),
        weight=weight,
    )


def score_spoken(model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Floats:
    """Return probabilities of texts in ASR form, shape (len(texts), 7)."""
    return probabilities(score(model, tokenizer, [as_spoken(text) for text in texts], max_tokens))

"""Cross-lingual teaching: what the English original says becomes the target of its Russian translation.

Machine translation is the noise of translated sets: the same network reads the originals far better. So teachers that
learned from labels score the originals that they did not see, fold by fold, and the student learns those scores. It
serves whoever has parallel text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Self

import numpy as np

from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from training.data.augment.templates import SOURCE as SYNTHETIC
from training.data.examples import PARALLEL, PUBLIC, Examples
from training.evaluate.thresholds import probabilities
from training.learn.batches import Head, encode_set, heads
from training.learn.checkpoints import Resumable
from training.learn.fine_tune import fit
from training.learn.network import open_base, score
from training.settings import SERVED, Augmentation, Learning, LearningPlan, Teaching

_STEPS: Final = 2**16 - 1
"""Between 0 and 1, for what one network says to another."""


class Teacher(NamedTuple):
    """One teacher.

    Attributes:
        seed: Number of the teacher, which no other has in its fold.
        fold: Fold of the originals that it does not see, and scores.
    """

    seed: int
    fold: int


class Teachers(NamedTuple):
    """What all teachers of a run share.

    Attributes:
        teaching: Folds, seeds, encoders, passes.
        base: Encoder of the student, which the first teachers share.
        plan: How teachers learn.
        student: How the student learns: its weights say which sets count in full.
    """

    teaching: Teaching
    base: str
    plan: LearningPlan
    student: Learning

    @classmethod
    def of(cls, teaching: Teaching, base: str, plan: LearningPlan) -> Self:
        """Make teachers that learn as the student does, but plainly: what varies for a student does not help them."""
        plain = {
            "learning_rate": teaching.learning_rate,
            "batch_size": teaching.batch_size,
            "word_dropout": 0.0,
            "ema": 0.0,
            "served_weight": Learning().served_weight,
        }
        learning = plan.learning.model_copy(update=plain)
        return cls(teaching, base, plan._replace(learning=learning, augmentation=Augmentation(noisy=0)), plan.learning)

    def each(self) -> list[Teacher]:
        """Return every teacher: for each seed of each encoder, one a fold."""
        count = self.teaching.seeds * (1 + len(self.teaching.bases))
        return [Teacher(seed, fold) for seed in range(count) for fold in range(self.teaching.folds)]

    def own_base(self, teacher: Teacher) -> str | None:
        """Return the encoder of a teacher that reads originals alone; None for one with the student's encoder."""
        return (None, *self.teaching.bases)[teacher.seed // self.teaching.seeds]

    def rows_for(self, teacher: Teacher, sets: Sequence[Examples], english: Examples) -> list[Examples]:
        """Return the rows that a teacher learns from: none of its fold, and none from templates.

        One with an encoder of its own learns from the originals of the sets that count in full, or of all sets where
        none does.
        """
        labelled = [examples for examples in sets if examples.annotated.any()]
        if self.own_base(teacher):
            read = english_originals([each for each in labelled if self.student.weight(each.source) == 1])
            read = read or english_originals(labelled)
            labelled = [read] if read else []
        scored, folds = set(english.ids), self.teaching.folds
        return [
            examples.take(np.flatnonzero(examples.parts(folds) != teacher.fold))
            if scored & set(examples.ids)
            else examples
            for examples in labelled
            if examples.source != SYNTHETIC
        ]


def split_by_convention(sets: Sequence[Examples]) -> tuple[list[Examples], list[Examples]]:
    """Split the sets into those of the convention that teachers learn and teach, and the others.

    That is the public sets' convention, or that of all rows with originals where none is of the public one.
    """
    found = {examples.conventions for examples in sets if examples.english is not None and examples.source != PARALLEL}
    taught = (PUBLIC,) if (PUBLIC,) in found or not found else min(found)
    sets = [replace(examples, conventions=taught) if examples.source == PARALLEL else examples for examples in sets]
    ours = [examples for examples in sets if examples.conventions == taught]
    return ours, [examples for examples in sets if examples.conventions != taught]


def english_originals(sets: Sequence[Examples]) -> Examples | None:
    """Gather the texts for teachers to score: English sets, and originals that only translations carry."""
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
    return Examples(
        source="goemotions",
        language="en",
        ids=[identity for examples in sets for identity in examples.ids],
        texts=[text for examples in sets for text in examples.texts],
        targets=np.concatenate([examples.targets for examples in sets]),
        annotated=np.concatenate([examples.annotated for examples in sets]),
        conventions=sets[0].conventions,
    )


def learn_and_score(
    sets: Sequence[Examples],
    english: Examples,
    teachers: Teachers,
    teacher: Teacher,
    resumable: Resumable | None = None,
) -> Floats:
    """Fit one teacher on all sets but one fold, or on their originals alone, and score the originals of that fold.

    A row and its translation share the id, and so the fold: the teacher sees neither.

    Returns:
        Probabilities, shape (rows of the fold, 7), in the order of `english`.
    """
    teaching = teachers.teaching
    plan = teachers.plan._replace(seed=teachers.plan.seed + 1000 * teacher.seed + teacher.fold)
    rows = teachers.rows_for(teacher, sets, english)
    names = heads(rows, english.conventions, plan.learning)
    width = len(EMOTIONS) * len(names)
    model, tokenizer = open_base(teachers.own_base(teacher) or teachers.base, width, plan.seed, teaching.network)
    encoded = [encode_set(examples, tokenizer, names, plan, passes=teaching.epochs) for examples in rows]
    fit(model, tokenizer, encoded, plan, resumable=resumable, quiet=True)
    unseen = english.take(np.flatnonzero(english.parts(teaching.folds) == teacher.fold))
    return served_probabilities(score(model, tokenizer, unseen.texts, plan.learning.max_tokens, columns=width), names)


def served_probabilities(logits: Floats, names: Sequence[Head]) -> Floats:
    """Return the probabilities of the conventions' heads, rounded to sixteen bits.

    Sums differ in their last digits from one machine to another; rounded, that rarely reaches who learns from them.

    Args:
        logits: n x columns of all heads.
        names: Heads, in the order of the columns.

    Returns:
        Probabilities, n x 7 for each convention.
    """
    served = probabilities(logits[:, : len(EMOTIONS) * sum(not name.source for name in names)])
    return (np.rint(served * _STEPS) / _STEPS).astype(np.float32)


def mean_scores(english: Examples, folds: int, parts: Mapping[Teacher, Floats]) -> Floats:
    """Return the mean of all teachers' scores.

    Args:
        english: Texts that the teachers scored.
        folds: Number of folds.
        parts: Scores of each teacher's fold.

    Returns:
        Probabilities, shape (len(english), 7).
    """
    fold = english.parts(folds)
    total = np.zeros((len(english), len(EMOTIONS)), np.float32)
    for teacher, scores in parts.items():
        total[fold == teacher.fold] += scores
    mean: Floats = (total / (len(parts) // folds)).astype(np.float32)
    return mean


def soften(scores: Floats, temperature: float) -> Floats:
    """Return the probabilities of logits divided by a temperature."""
    if temperature == 1:
        return scores
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return probabilities(np.log(clipped / (1 - clipped)).astype(np.float32) / np.float32(temperature))


def replace_labels(sets: Sequence[Examples], english: Examples, scores: Floats) -> list[Examples]:
    """Replace the labels of rows that have a scored original by the teachers' scores.

    Args:
        sets: All sets of the run.
        english: Originals that the teachers scored.
        scores: Probabilities, len(english) x 7.
    """
    known = dict(zip(english.ids, scores, strict=True))
    return [
        replace(
            examples,
            targets=np.array(
                [known.get(name, own) for name, own in zip(examples.ids, examples.targets, strict=True)], np.float32
            ),
            annotated=examples.annotated | (examples.source == PARALLEL),
        )
        if examples.source in SERVED or examples.english is not None
        else examples
        for examples in sets
    ]

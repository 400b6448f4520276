"""The network that is kept, and the first one that labels lines for it: they learn in the same way."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from transformers import TrainerCallback

from training.data.examples import UNLABELLED, Examples
from training.learn.batches import EncodedSet, Head, encode_set, heads
from training.learn.checkpoints import Resumable
from training.learn.fine_tune import fit
from training.learn.network import open_start
from training.settings import LearningPlan, NetworkStart

log = structlog.get_logger(__name__)


class Student(NamedTuple):
    """A fitted network.

    Attributes:
        model: Network with the columns of all heads.
        tokenizer: Tokenizer of the network.
        heads: Output heads, in the order of the columns.
        history: Step, loss and rate, now and then.
        pieces: Token ids that the labelled Russian texts used.
    """

    model: Any
    tokenizer: Any
    heads: list[Head]
    history: list[dict[str, float]]
    pieces: set[int]


def fit_student(  # noqa: PLR0913 - what makes a fit.
    sets: Sequence[Examples],
    conventions: Sequence[str],
    start: NetworkStart,
    plan: LearningPlan,
    *,
    resumable: Resumable | None = None,
    share: float = 1.0,
    callbacks: Sequence[TrainerCallback] = (),
) -> Student:
    """Fit a network on all sets; its output layer keeps a head for each convention and each source.

    Args:
        sets: Sets to learn from.
        conventions: Conventions of labels, the default one first.
        start: The network before it learns.
        plan: How it learns.
        resumable: Folder of its checkpoints; None leaves none.
        share: Share of the passes to make, such as 0.5 of a first student.
        callbacks: Further callbacks of the Trainer.
    """
    names = heads(sets, conventions, plan.learning)
    model, tokenizer = open_start(start, [head.convention for head in names], plan.seed)
    encoded = [
        encode_set(examples, tokenizer, names, plan, passes=_part_of(plan.passes(examples.source), share))
        for examples in sets
    ]
    log.info("a network learns", what=resumable.folder.name if resumable else "trial", heads=list(map(" ".join, names)))
    history = fit(model, tokenizer, encoded, plan, resumable=resumable, callbacks=callbacks)
    return Student(model, tokenizer, names, history, _pieces(sets, encoded))


def _part_of(passes: int, share: float) -> int:
    return max(1, round(passes * share)) if passes else 0


def _pieces(sets: Sequence[Examples], encoded: Sequence[EncodedSet]) -> set[int]:
    russian = [
        tokenized
        for tokenized, examples in zip(encoded, sets, strict=True)
        if examples.language == "ru" and examples.source != UNLABELLED
    ]
    return set().union(*(ids.distinct() for tokenized in russian for _, ids in tokenized.forms))

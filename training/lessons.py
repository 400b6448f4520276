"""From labelled texts to the order in which a network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from schemas.emotions import EMOTIONS
from training.augmentation import Form, forms
from training.examples import UNLABELLED, Examples
from training.settings import SERVED, FitSettings
from training.sources import FINE

FINE_HEAD: Final = "fine"
"""The head of GoEmotions' 28 labels, always the last."""

_BATCHES_SORTED_TOGETHER: Final = 50

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]


class Ids:
    """Token ids of n texts, in one array: processes share it, and a batch is cut from it fast."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.lengths: Numbers = np.fromiter(map(len, rows), np.intp, len(rows))
        self._ends = np.cumsum(self.lengths)
        self._flat = np.concatenate([np.zeros(0, np.int32), *(np.asarray(row, np.int32) for row in rows)])

    def distinct(self) -> set[int]:
        """Return each id that occurs."""
        return set(np.unique(self._flat).tolist())

    def __getitem__(self, at: int) -> NDArray[np.int32]:
        return self._flat[self._ends[at] - self.lengths[at] : self._ends[at]]


@dataclass(frozen=True, eq=False)
class Lesson:
    """The n rows of one set, tokenized, against all columns of the output layer (seven a head).

    Attributes:
        forms: the texts in each form, with the share of the passes that sees it.
        targets: n x columns.
        weights: n x columns; those of a row sum to the row's weight.
        passes: how often a run sees each row.
    """

    forms: list[tuple[float, Ids]]
    targets: Floats
    weights: Floats
    passes: int


class Batch(NamedTuple):
    """Rows of a `Curriculum`: token ids, targets and weights of each."""

    ids: list[NDArray[np.int32]]
    targets: Floats
    weights: Floats


def heads(sets: Sequence[Examples], fine_weight: float = 0.0) -> list[str]:
    """Name the output heads: the served one first, then one for each other source, since conventions differ.

    Args:
        sets: what a network learns from.
        fine_weight: of the fine labels, which have a head of their own in the end, where there are some.
    """
    others = {examples.source for examples in sets} - {*SERVED, UNLABELLED}
    fine = fine_weight > 0 and any(examples.fine is not None for examples in sets)
    return ["served", *sorted(others), *([FINE_HEAD] if fine else [])]


def columns(names: Sequence[str]) -> int:
    """Return how many outputs these heads have: seven each, and the fine one one for each of its labels."""
    return sum(len(FINE) if name == FINE_HEAD else len(EMOTIONS) for name in names)


def lesson(
    examples: Examples,
    tokenizer: Any,
    names: Sequence[str],
    settings: FitSettings,
    *,
    passes: int | None = None,
) -> Lesson:
    """Tokenize a set and lay its labels out over the heads.

    Args:
        examples: the rows; those without text teach nothing and have no weight.
        tokenizer: of the network.
        names: of the heads, the served one first.
        settings: of the run.
        passes: how often to see each row, where not as the settings say.
    """
    learning, seven = settings.learning, len(EMOTIONS)
    targets = np.zeros((len(examples), columns(names)), np.float32)
    weights = np.zeros_like(targets)
    known = examples.annotated / np.maximum(examples.annotated.sum(1, keepdims=True), 1)
    taught = [(0, learning.weight(examples.source))]
    if examples.source in names:
        taught.append((names.index(examples.source), 1.0))
    for head, weight in taught:
        place = slice(head * seven, (head + 1) * seven)
        targets[:, place] = examples.targets
        weights[:, place] = known * weight * examples.weight
    if FINE_HEAD in names and examples.fine is not None:
        targets[:, -len(FINE) :] = examples.fine
        weights[:, -len(FINE) :] = learning.fine_weight * examples.weight / len(FINE)
    spellings = forms(examples, settings)
    weights[[not text.strip() for text in spellings[-1].texts]] = 0
    return Lesson(
        forms=[(form.share, _tokenize(form, tokenizer, learning.max_tokens)) for form in spellings],
        targets=targets,
        weights=weights,
        passes=settings.passes(examples.source) if passes is None else passes,
    )


def _tokenize(form: Form, tokenizer: Any, max_tokens: int) -> Ids:
    return Ids(tokenizer(form.texts, truncation=True, max_length=max_tokens)["input_ids"])


class Curriculum(Dataset[Batch]):
    """All rows of a run in the order in which they are seen.

    Each lesson's passes are spread evenly over the epochs. Within an epoch, rows are shuffled, then sorted by length
    in chunks, so that a batch pads little, and the batches of a chunk are shuffled. A row's form is drawn anew for
    each pass.

    Args:
        lessons: what to see.
        batch_size: rows a step.
        seed: of the order.
        hidden: share of the tokens to hide, and the id that hides them.
    """

    def __init__(
        self, lessons: Sequence[Lesson], batch_size: int, seed: int, hidden: tuple[float, int] = (0.0, 0)
    ) -> None:
        self._lessons = lessons
        self._seed = seed
        self._hidden = hidden
        random = np.random.default_rng(seed)
        epochs = max(lesson.passes for lesson in lessons)
        slices: list[list[Numbers]] = [[] for _ in range(epochs)]
        for number, lesson in enumerate(lessons):
            seen = _passes(number, lesson, random)
            for epoch, part in zip(slices, np.array_split(seen, epochs), strict=True):
                epoch.append(part)
        self._order = np.concatenate(
            [self._by_length(random.permutation(np.concatenate(epoch)), batch_size, random) for epoch in slices]
        )

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, at: int) -> Batch:
        return self.__getitems__([at])

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the rows at these places; torch asks for a batch at once."""
        order = self._order[places]
        rows = [(self._lessons[number], row, form) for number, row, form in order]
        ids = [lesson.forms[form][1][row] for lesson, row, form in rows]
        share, mark = self._hidden
        if share:
            random = np.random.default_rng((self._seed, places[0]))
            ids = [_hide(row, random.random(len(row)) < share, mark) for row in ids]
        return Batch(
            ids,
            np.array([lesson.targets[row] for lesson, row, _ in rows]),
            np.array([lesson.weights[row] for lesson, row, _ in rows]),
        )

    def _by_length(self, rows: Numbers, size: int, random: np.random.Generator) -> Numbers:
        lengths = np.zeros(len(rows), np.intp)
        for number, lesson in enumerate(self._lessons):
            for form, (_, ids) in enumerate(lesson.forms):
                here = (rows[:, 0] == number) & (rows[:, 2] == form)
                lengths[here] = ids.lengths[rows[here, 1]]
        batches: list[Numbers] = []
        for start in range(0, len(rows), size * _BATCHES_SORTED_TOGETHER):
            chunk = start + np.argsort(lengths[start : start + size * _BATCHES_SORTED_TOGETHER], kind="stable")
            # Only whole batches move: a short one in between would shift the limits of all that follow.
            whole = len(chunk) // size
            batches += [chunk[at * size : (at + 1) * size] for at in random.permutation(whole)]
            batches.append(chunk[whole * size :])
        return rows[np.concatenate(batches)]


def _passes(number: int, lesson: Lesson, random: np.random.Generator) -> Numbers:
    """Return (lesson, row, form) for each time a row is seen, pass after pass."""
    taught = np.flatnonzero(lesson.weights.any(axis=1))
    rows = np.concatenate([np.zeros(0, np.intp), *(random.permutation(taught) for _ in range(lesson.passes))])
    shares = np.array([share for share, _ in lesson.forms])
    drawn = random.choice(len(shares), len(rows), p=shares / shares.sum())
    return np.stack([np.full(len(rows), number), rows, drawn], axis=1).astype(np.intp)


def _hide(ids: NDArray[np.int32], drawn: NDArray[np.bool_], mark: int) -> NDArray[np.int32]:
    drawn[[0, -1]] = False  # The special tokens around a text stay.
    return np.where(drawn, np.int32(mark), ids)


def collate(pad: int, batch: Batch) -> dict[str, torch.Tensor]:
    """Pad a batch of a `Curriculum`.

    Returns:
        input_ids and attention_mask, each rows x longest; labels, rows x 2 x columns: targets, then weights.
    """
    ids, mask = padded(batch.ids, pad)
    labels = torch.from_numpy(np.stack([batch.targets, batch.weights], axis=1))
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def padded(ids: Sequence[Any], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both of shape (len(ids), longest)."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    filled = np.full(mask.shape, pad, np.int64)
    filled[mask] = np.concatenate([np.asarray(row, np.int64) for row in ids])
    return torch.from_numpy(filled), torch.from_numpy(mask.astype(np.int64))

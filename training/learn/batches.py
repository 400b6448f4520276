"""From labelled texts to the order in which a network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from training.data.examples import PARALLEL, RU_CALLS, UNLABELLED, Examples
from training.data.text_forms import Form, forms
from training.settings import SERVED, Learning, LearningPlan

_BATCHES_SORTED_TOGETHER: Final = 50

Numbers = NDArray[np.intp]


class Head(NamedTuple):
    """Seven outputs: of a convention, or of one set that follows it, since annotators of different sets differ."""

    convention: str
    source: str = ""


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
class EncodedSet:
    """The n rows of one set, tokenized, against all columns of the output layer.

    Attributes:
        forms: the texts in each form, with the share of the passes that sees it.
        targets: n x columns.
        weights: n x columns; those of a row sum to the row's weight on each head that it teaches.
        passes: how often a run sees each row.
    """

    forms: list[tuple[float, Ids]]
    targets: Floats
    weights: Floats
    passes: int


class Batch(NamedTuple):
    """Rows of a `BatchOrder`: token ids, targets and weights of each."""

    ids: list[NDArray[np.int32]]
    targets: Floats
    weights: Floats


def heads(sets: Sequence[Examples], conventions: Sequence[str], learning: Learning) -> list[Head]:
    """Name the output heads: one for each convention, then one for each other source.

    Args:
        sets: what a network learns from.
        conventions: the default one first.
        learning: Whether sources have heads of their own.
    """
    shared = {*SERVED, RU_CALLS, UNLABELLED, PARALLEL}
    own = {Head(examples.conventions[0], examples.source) for examples in sets if examples.source not in shared}
    return [*map(Head, conventions), *(sorted(own) if learning.own_weight else ())]


def block(at: int) -> slice:
    """Return the outputs of the head at a place, or the targets of the convention at a place."""
    return slice(at * len(EMOTIONS), (at + 1) * len(EMOTIONS))


def encode_set(
    examples: Examples,
    tokenizer: Any,
    names: Sequence[Head],
    plan: LearningPlan,
    *,
    passes: int | None = None,
) -> EncodedSet:
    """Tokenize a set and lay its labels out over the heads.

    Args:
        examples: Rows of one set; those without text have no weight.
        tokenizer: Tokenizer of the network.
        names: Output heads, in the order of the columns.
        plan: How the network learns, and the forms in which it sees texts.
        passes: Number of passes over the set; None takes the plan's.
    """
    learning = plan.learning
    passes = plan.passes(examples.source) if passes is None else passes
    # Each head gets the labels that count there; what was not annotated has no weight.
    targets = np.zeros((len(examples), len(EMOTIONS) * len(names)), np.float32)
    weights = np.zeros_like(targets)
    for at, convention in enumerate(examples.conventions):
        said, annotated = examples.targets[:, block(at)], examples.annotated[:, block(at)]
        known = examples.weight * annotated / np.maximum(annotated.sum(1, keepdims=True), 1)
        taught = {Head(convention): learning.weight(examples.source)}
        taught[Head(convention, examples.source)] = learning.own_weight
        for head in taught.keys() & set(names):
            place = block(names.index(head))
            targets[:, place], weights[:, place] = said, known * taught[head]
    spellings = forms(examples, plan.augmentation, plan.passes(examples.source), plan.seed)
    weights[[not text.strip() for text in spellings[-1].texts]] = 0
    return EncodedSet(
        forms=[(form.share, _tokenize(form, tokenizer, learning.max_tokens)) for form in spellings],
        targets=targets,
        weights=weights,
        passes=passes,
    )


def _tokenize(form: Form, tokenizer: Any, max_tokens: int) -> Ids:
    return Ids(tokenizer(form.texts, truncation=True, max_length=max_tokens)["input_ids"])


class BatchOrder(Dataset[Batch]):
    """All rows of a run in the order in which a network sees them.

    Each set's passes are spread evenly over the epochs. Within an epoch, rows are shuffled, then sorted by length
    in chunks, so that a batch pads little, and the batches of a chunk are shuffled. A row's form is drawn again for
    each pass.

    Args:
        sets: Encoded sets.
        batch_size: Rows a step.
        seed: Random seed for the order of rows.
        hidden: Share of the tokens to hide, and the id that hides them.
    """

    def __init__(
        self, sets: Sequence[EncodedSet], batch_size: int, seed: int, hidden: tuple[float, int] = (0.0, 0)
    ) -> None:
        self._sets = sets
        self._seed = seed
        self._hidden = hidden
        random = np.random.default_rng(seed)
        epochs = max(encoded.passes for encoded in sets)
        slices: list[list[Numbers]] = [[] for _ in range(epochs)]
        for number, encoded in enumerate(sets):
            seen = _passes(number, encoded, random)
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
        rows = [(self._sets[number], row, form) for number, row, form in order]
        ids = [encoded.forms[form][1][row] for encoded, row, form in rows]
        share, mark = self._hidden
        if share:
            random = np.random.default_rng((self._seed, places[0]))
            ids = [_hide(row, random.random(len(row)) < share, mark) for row in ids]
        return Batch(
            ids,
            np.array([encoded.targets[row] for encoded, row, _ in rows]),
            np.array([encoded.weights[row] for encoded, row, _ in rows]),
        )

    def _by_length(self, rows: Numbers, size: int, random: np.random.Generator) -> Numbers:
        lengths = np.zeros(len(rows), np.intp)
        for number, encoded in enumerate(self._sets):
            for form, (_, ids) in enumerate(encoded.forms):
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


def _passes(number: int, encoded: EncodedSet, random: np.random.Generator) -> Numbers:
    """Return (set, row, form) for each time that a row is seen, pass after pass."""
    taught = np.flatnonzero(encoded.weights.any(axis=1))
    rows = np.concatenate([np.zeros(0, np.intp), *(random.permutation(taught) for _ in range(encoded.passes))])
    shares = np.array([share for share, _ in encoded.forms])
    drawn = random.choice(len(shares), len(rows), p=shares / shares.sum())
    return np.stack([np.full(len(rows), number), rows, drawn], axis=1).astype(np.intp)


def _hide(ids: NDArray[np.int32], drawn: NDArray[np.bool_], mark: int) -> NDArray[np.int32]:
    drawn[[0, -1]] = False  # The special tokens around a text stay.
    return np.where(drawn, np.int32(mark), ids)


def collate(pad: int, batch: Batch) -> dict[str, torch.Tensor]:
    """Pad a batch of a `BatchOrder`.

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

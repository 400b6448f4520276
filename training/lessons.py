"""From labelled texts to the order in which a network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from schemas.emotions import EMOTIONS
from training.augmentation import forms
from training.examples import Examples
from training.settings import FitSettings

_BATCHES_SORTED_TOGETHER: Final = 50


@dataclass(frozen=True, eq=False)
class Lesson:
    """The n rows of one set, tokenized, against all columns of the output layer (seven a head).

    Attributes:
        forms: for each form of the texts (as written, as spoken), n lists of token ids.
        targets: n x columns.
        weights: n x columns; those of a row sum to the row's weight.
        passes: how often a run sees each row.
    """

    forms: list[list[list[int]]]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    passes: int


def heads(sets: Sequence[Examples], served: Sequence[str]) -> list[str]:
    """Name the output heads: the served one first, then one for each other source, since conventions differ."""
    return ["served", *sorted({examples.source for examples in sets} - set(served))]


def lesson(  # noqa: PLR0913 - what makes a lesson.
    examples: Examples,
    tokenizer: Any,
    names: Sequence[str],
    settings: FitSettings,
    *,
    passes: int,
    served_weight: float = 1.0,
) -> Lesson:
    """Tokenize a set and lay its labels out over the heads.

    Args:
        examples: the rows; those without text teach nothing and have no weight.
        tokenizer: of the network.
        names: of the heads, the served one first.
        settings: of the run.
        passes: how often to see each row.
        served_weight: weight of the labels on the served head.
    """
    columns = len(EMOTIONS) * len(names)
    targets = np.zeros((len(examples), columns), np.float32)
    weights = np.zeros_like(targets)
    known = examples.annotated / np.maximum(examples.annotated.sum(1, keepdims=True), 1)
    heads_taught = [(0, served_weight)] if served_weight else []
    if examples.source in names:
        heads_taught.append((names.index(examples.source), 1.0))
    for head, weight in heads_taught:
        place = slice(head * len(EMOTIONS), (head + 1) * len(EMOTIONS))
        targets[:, place] = examples.targets
        weights[:, place] = known * weight
    spellings = forms(examples.texts, examples.language)
    weights[[not text.strip() for text in spellings[-1]]] = 0
    ids = [tokenizer(texts, truncation=True, max_length=settings.max_tokens)["input_ids"] for texts in spellings]
    return Lesson(forms=ids, targets=targets, weights=weights, passes=passes)


class Curriculum(Dataset[dict[str, Any]]):
    """All rows of a run in the order in which they are seen.

    Each lesson's passes are spread evenly over the epochs. Within an epoch, rows are shuffled, then sorted by length
    in chunks, so that a batch pads little, and the batches of a chunk are shuffled. A row's form is drawn anew for
    each pass.

    Args:
        lessons: what to see.
        settings: batch size, share of spoken forms, seed.
    """

    def __init__(self, lessons: Sequence[Lesson], settings: FitSettings) -> None:
        self._lessons = lessons
        random = np.random.default_rng(settings.seed)
        epochs = max(lesson.passes for lesson in lessons)
        slices: list[list[NDArray[np.intp]]] = [[] for _ in range(epochs)]
        for number, lesson in enumerate(lessons):
            seen = _passes(number, lesson, settings.spoken, random)
            for epoch, part in zip(slices, np.array_split(seen, epochs), strict=True):
                epoch.append(part)
        self._order = np.concatenate(
            [self._by_length(random.permutation(np.concatenate(epoch)), settings, random) for epoch in slices]
        )

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, at: int) -> dict[str, Any]:
        number, row, form = self._order[at]
        lesson = self._lessons[number]
        return {"input_ids": lesson.forms[form][row], "labels": (lesson.targets[row], lesson.weights[row])}

    def _by_length(
        self, rows: NDArray[np.intp], settings: FitSettings, random: np.random.Generator
    ) -> NDArray[np.intp]:
        lengths = np.array([len(self._lessons[number].forms[form][row]) for number, row, form in rows])
        size = settings.batch_size
        batches: list[NDArray[np.intp]] = []
        for start in range(0, len(rows), size * _BATCHES_SORTED_TOGETHER):
            chunk = start + np.argsort(lengths[start : start + size * _BATCHES_SORTED_TOGETHER], kind="stable")
            # Only whole batches move: a short one in between would shift the limits of all that follow.
            whole = len(chunk) // size
            batches += [chunk[at * size : (at + 1) * size] for at in random.permutation(whole)]
            batches.append(chunk[whole * size :])
        return rows[np.concatenate(batches)]


def _passes(number: int, lesson: Lesson, spoken: float, random: np.random.Generator) -> NDArray[np.intp]:
    """Return (lesson, row, form) for each time a row is seen, pass after pass."""
    taught = np.flatnonzero(lesson.weights.any(axis=1))
    rows = np.concatenate([random.permutation(taught) for _ in range(lesson.passes)])
    drawn = (random.random(len(rows)) < spoken) if len(lesson.forms) > 1 else np.zeros(len(rows))
    return np.stack([np.full(len(rows), number), rows, drawn.astype(np.intp)], axis=1).astype(np.intp)


def collate(pad: int, batch: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad a batch of a `Curriculum`.

    Returns:
        input_ids and attention_mask, each rows x longest; labels, rows x 2 x columns: targets, then weights.
    """
    ids, mask = padded([row["input_ids"] for row in batch], pad)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.from_numpy(np.array([row["labels"] for row in batch], np.float32)),
    }


def padded(ids: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and attention mask, both of shape (len(ids), longest)."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    filled = np.full(mask.shape, pad, np.int64)
    filled[mask] = np.concatenate([np.asarray(row, np.int64) for row in ids])
    return torch.from_numpy(filled), torch.from_numpy(mask.astype(np.int64))

"""Labelled texts of any set as arrays."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

UNLABELLED: Final = "dialogues"
"""What lines that a student labelled are called among the sets."""

PARALLEL: Final = "parallel"
"""What texts with a translation and without labels are called among the sets."""

RU_CALLS: Final = "ru_calls"
"""What the project's own corpus is called among the sets; a user's own table may well be called calls."""

CALLS: Final = "calls"
"""The convention of labels that people mean who listen to calls: routine thanks, greetings, questions are neutral."""

PUBLIC: Final = "public"
"""The convention of the public sets, which come from GoEmotions: curiosity is surprise there, approval is joy."""

_TENTHS: Final = 10


@dataclass(frozen=True, eq=False)
class Examples:
    """The n rows of one set.

    Attributes:
        source: the set's name.
        language: ru or en.
        ids: n; a text and its translation share one.
        texts: n, as published.
        targets: n x 7 for each convention, 0 to 1, in the order of `EMOTIONS`.
        annotated: of the same shape; False where the annotator could not have given the emotion.
        english: n originals, where the texts are translations.
        fine: n x 28, where the set has GoEmotions' fine labels.
        back_translated: n, where the texts went to another language and back.
        weight: of each row.
        conventions: of labels, those that the targets follow; labelled rows have one.
        dialogues: n names of the dialogues, where the texts come from some.
        chances: n, how likely each text was drawn, by the chance of an equal draw; None where all were as likely.
    """

    source: str
    language: str
    ids: list[str]
    texts: list[str]
    targets: NDArray[np.float32]
    annotated: NDArray[np.bool_]
    english: list[str] | None = None
    fine: NDArray[np.float32] | None = None
    back_translated: list[str] | None = None
    weight: float = 1.0
    conventions: tuple[str, ...] = (PUBLIC,)
    dialogues: list[str] | None = None
    chances: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.intp]) -> "Examples":
        """Return these rows, in this order."""
        return replace(
            self,
            ids=[self.ids[at] for at in rows],
            texts=[self.texts[at] for at in rows],
            targets=self.targets[rows],
            annotated=self.annotated[rows],
            english=None if self.english is None else [self.english[at] for at in rows],
            fine=None if self.fine is None else self.fine[rows],
            back_translated=None if self.back_translated is None else [self.back_translated[at] for at in rows],
            dialogues=None if self.dialogues is None else [self.dialogues[at] for at in rows],
            chances=None if self.chances is None else self.chances[rows],
        )

    def parts(self, count: int) -> NDArray[np.intp]:
        """Return which of `count` parts each row belongs to: by id, so that it is the same in every run.

        A dialogue stays whole. Its last digit is used up, since tenths part the corpus of calls.
        """
        if self.dialogues is None:
            return np.array([crc32(identity.encode()) % count for identity in self.ids], np.intp)
        return np.array([crc32(name.encode()) // _TENTHS % count for name in self.dialogues], np.intp)


def unlabelled(examples: Examples) -> Examples:
    """Return rows without their labels: to be guarded, and not to be measured on."""
    nothing = np.zeros_like(examples.targets)
    return replace(examples, targets=nothing, annotated=nothing > 0)


def fingerprint(sets: Iterable[Examples]) -> str:
    """Return a SHA-256 over sources, ids, texts and labels: equal data, equal fingerprint."""
    digest = hashlib.sha256()
    for examples in sets:
        digest.update("\0".join([examples.source, *examples.ids, *examples.texts]).encode())
        digest.update(examples.targets.tobytes())
        digest.update(examples.annotated.tobytes())
    return digest.hexdigest()

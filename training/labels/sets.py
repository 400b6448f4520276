"""The rows of public sets as labels."""

from collections.abc import Sequence
from typing import Any, Final

from schemas.emotions import EMOTIONS
from training.data.examples import Examples
from training.label_files.label import Label

_HALF: Final = 0.5


def labels_of(examples: Examples) -> list[Label]:
    """Return the rows of a set as labels of its name; rows without text are left out.

    A set that gives shares instead of labels gets those of a half or more.
    """
    return [
        Label(text=text, emotions=_names(target & annotated), annotated=_names(annotated), origin=examples.source)
        for words, target, annotated in zip(examples.texts, examples.targets >= _HALF, examples.annotated, strict=True)
        if (text := words.replace("\0", "")).strip()
    ]


def _names(present: Sequence[Any]) -> tuple[str, ...]:
    return tuple(emotion for emotion, there in zip(EMOTIONS, present, strict=True) if there)

"""Unlabelled lines: a first student, or a bundle, labels them for the student that is kept."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from schemas.decisions import Floats
from schemas.emotions import EMOTIONS
from training.data.examples import UNLABELLED, Examples
from training.data.text_forms import as_spoken
from training.distill.targets import served_probabilities
from training.errors import UnusableData
from training.learn.final_model import Student
from training.learn.network import score

_FEWEST_WORDS: Final = 2
_MOST_WORDS: Final = 60


def read_lines(places: Sequence[str], most: int | None = None) -> list[str]:
    """Read lines of unlabelled text, each once: those of two words or more, without a leading dash.

    Args:
        places: text files, also compressed by gzip, or folders of them.
        most: take no more than these, evenly spread; None takes all.

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
    found = list(lines.values())
    if most is None or most >= len(found):
        return found
    return [found[at * len(found) // most] for at in range(most)]


def _text_files(place: Path) -> list[Path]:
    files = [place] if place.is_file() else sorted([*place.glob("*.txt"), *place.glob("*.txt.gz")])
    if not files:
        raise UnusableData(
            f"{place} is neither a text file nor a folder of *.txt or *.txt.gz. Correct teaching.unlabelled"
        )
    return files


def pseudo_labelled(lines: list[str], scores: Floats, weight: float, conventions: Sequence[str]) -> Examples:
    """Make examples of lines and their scores, n x 7 for each convention."""
    return Examples(
        source=UNLABELLED,
        language="ru",
        ids=[f"{UNLABELLED}-{at}" for at in range(len(lines))],
        texts=lines,
        targets=scores,
        annotated=np.ones_like(scores, np.bool_),
        conventions=tuple(conventions),
        weight=weight,
    )


def score_spoken(student: Student, texts: Sequence[str], max_tokens: int) -> Floats:
    """Return a student's probabilities of texts in ASR form, n x 7 for each convention."""
    spoken, width = [as_spoken(text) for text in texts], len(EMOTIONS) * len(student.heads)
    logits = score(student.model, student.tokenizer, spoken, max_tokens, columns=width)
    return served_probabilities(logits, student.heads)

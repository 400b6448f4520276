"""A classifier without a model, for tests of the flow around it."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from schemas.decisions import Rule
from schemas.emotions import EMOTIONS
from worker.errors import RejectedData

POISON = "яд"
"""A text that holds this word makes the model fail."""


class StubClassifier:
    """Scores made of the text's hash: any text, always the same, seven numbers."""

    version = "stub-1"
    convention = "public"
    language = "ru"
    rule = Rule(np.full(len(EMOTIONS), 0.5, np.float32))

    def __init__(self) -> None:
        self.calls = 0

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        self.calls += 1
        if any(POISON in text.split() for text in texts):
            raise RejectedData("poison")
        return np.array([scores_of(text) for text in texts], np.float32)

    def classify_windows(self, texts: list[str]) -> tuple[NDArray[np.float32], list[int]]:
        return self.classify(texts), [1] * len(texts)


def scores_of(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.blake2b(text.encode(), digest_size=len(EMOTIONS)).digest()]

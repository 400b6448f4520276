"""Labelled texts, made by hand."""

import numpy as np

from schemas.emotions import EMOTIONS
from training.data.examples import Examples


def examples(source: str = "cedr", language: str = "ru", rows: int = 3) -> Examples:
    """Rows that all carry joy; CEDR's annotators were not asked for disgust."""
    targets = np.zeros((rows, len(EMOTIONS)), np.float32)
    targets[:, 3] = 1
    annotated = np.ones_like(targets, np.bool_)
    annotated[:, 1] = source != "cedr"
    return Examples(
        source=source,
        language=language,
        ids=[f"id{at}" for at in range(rows)],
        texts=[f"Ну, {'а' * at}!" for at in range(rows)],
        targets=targets,
        annotated=annotated,
    )

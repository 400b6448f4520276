"""Models that were fitted elsewhere, as teachers: any text classifier whose labels are our emotions or GoEmotions'."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoTokenizer

from networks import AutoModelForSequenceClassification
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel, first_line
from training.network import score
from training.sources import EKMAN
from training.thresholds import Floats, probabilities

_MAX_TOKENS: Final = 128


def score_by(name: str, texts: Sequence[str]) -> Floats:
    """Score texts by a model of the hub or of a folder.

    Of several fine labels that make up an emotion, the likeliest speaks for it.

    Returns:
        Probabilities, shape (len(texts), 7).

    Raises:
        UnusableModel: it cannot be opened, or lacks one of the emotions.
    """
    try:
        model = AutoModelForSequenceClassification.from_pretrained(name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UnusableModel(
            f"teaching.models: {name} cannot be opened ({first_line(error)}). Name a text classifier"
        ) from error
    columns = _columns(name, model.config.id2label)
    logits = score(model, tokenizer, texts, _MAX_TOKENS, columns=model.config.num_labels)
    if model.config.problem_type == "single_label_classification":
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        scores = (shifted / shifted.sum(1, keepdims=True)).astype(np.float32)
    else:
        scores = probabilities(logits)
    return np.stack([scores[:, places].max(1) for places in columns], axis=1)


def _columns(name: str, id2label: dict[int, Any]) -> list[list[int]]:
    labels = {int(at): str(label).lower() for at, label in id2label.items()}
    found = []
    for emotion in EMOTIONS:
        places = [at for at, label in labels.items() if label in {emotion, *EKMAN[emotion].split()}]
        if not places:
            raise UnusableModel(
                f"teaching.models: {name} has no label for {emotion} (it has {', '.join(labels.values())}). A teacher "
                "needs the seven emotions or GoEmotions' labels"
            )
        found.append(places)
    return found

"""Classify transcripts without Kafka or a database: for a look, for a shell pipe, for comparing models."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from schemas.emotions import EMOTIONS
from schemas.languages import is_foreign
from schemas.normalization import normalize
from schemas.parts import Cut, Part, parts_of
from schemas.roles import Role, role_of
from worker.forms.naming import Message
from worker.inference.assign import assign_emotions
from worker.inference.load import load_classifier
from worker.records import ANOTHER_LANGUAGE, Classifier
from worker.settings import Settings

_AT_ONCE: Final = 256


class Answer(Struct, omit_defaults=True):
    """What `emotion-worker classify` says of a transcript, or of a part of one."""

    id: str | None
    text: str
    emotions: list[str]
    scores: dict[str, float] | None
    model_version: str
    convention: str
    cut: Cut | None = None
    windows: int = 1
    role: Role | None = None
    language: str | None = None
    not_scored: str | None = None


def classify_messages(messages: Iterable[Message], settings: Settings) -> Iterator[bytes]:
    """Yield one JSON object a message that holds a transcript, or one a part of it, in order.

    Raises:
        ConfigurationError: the model cannot be loaded.
    """
    parts = (part for message in messages if message.transcript for part in parts_of(message.transcript))
    batches = iter(lambda: list(itertools.islice(parts, _AT_ONCE)), [])
    first = next(batches, [])  # What cannot be read is refused before the model is loaded.
    classifier = load_classifier(settings)
    for some in itertools.chain([first], batches):
        yield from map(msgspec.json.encode, _answers(some, classifier, settings.channel_roles))


def _answers(parts: list[Part], classifier: Classifier, channel_roles: Mapping[str, Role]) -> Iterator[Answer]:
    foreign = [is_foreign(part.transcript.language, classifier.language) for part in parts]
    texts = ["" if left_out else normalize(part.transcript.text) for part, left_out in zip(parts, foreign, strict=True)]
    spoken = [text for text in texts if text]
    scores, windows = classifier.classify_windows(spoken) if spoken else (np.empty((0, len(EMOTIONS)), np.float32), [])
    scored = zip(scores.tolist(), assign_emotions(classifier.rule, scores), windows, strict=True)
    for (transcript, _, cut), text, left_out in zip(parts, texts, foreign, strict=True):
        row, emotions, count = next(scored) if text else (None, [], 1)
        yield Answer(
            id=transcript.id,
            text=transcript.text,
            emotions=emotions,
            scores=row and {emotion: round(score, 4) for emotion, score in zip(EMOTIONS, row, strict=True)},
            model_version=classifier.version,
            convention=classifier.convention,
            cut=cut,
            windows=count,
            role=role_of(transcript, channel_roles),
            language=transcript.language,
            not_scored=ANOTHER_LANGUAGE if left_out else None,
        )

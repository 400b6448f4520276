"""Classify lines without Kafka or a database: for a look, for a shell pipe, for comparing models."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from schemas.transcripts import InvalidTranscript, decode
from worker.composition import load_classifier
from worker.errors import ConfigurationError
from worker.publish import message_of
from worker.records import Classifier
from worker.settings import Settings

_AT_ONCE: Final = 256


class Answer(Struct):
    """What `emotion-worker classify` says of a line."""

    id: str | None
    text: str
    emotions: list[str]
    scores: dict[str, float] | None
    model_version: str


def classify_lines(lines: Iterable[str], settings: Settings) -> Iterator[bytes]:
    """Yield one JSON object a line, in order.

    Raises:
        ConfigurationError: a line is JSON but no transcript, or the model cannot be loaded.
    """
    classifier = load_classifier(settings)
    numbered = ((number, message_of(line)) for number, line in enumerate(lines, 1))
    messages = ((number, message) for number, message in numbered if message is not None)
    while some := list(itertools.islice(messages, _AT_ONCE)):
        yield from map(msgspec.json.encode, _answers(some, classifier))


def _answers(messages: list[tuple[int, bytes]], classifier: Classifier) -> Iterator[Answer]:
    transcripts = []
    for number, message in messages:
        try:
            transcripts.append(decode(message, timestamp_ms=0))
        except InvalidTranscript as error:
            raise ConfigurationError(f"line {number} holds no transcript: {error}") from error
    texts = [normalize(transcript.text) for transcript in transcripts]
    spoken = [text for text in texts if text]
    scored: Iterator[Any] = iter(classifier.classify(spoken).tolist() if spoken else [])
    for transcript, text in zip(transcripts, texts, strict=True):
        scores = dict(zip(EMOTIONS, next(scored), strict=True)) if text else None
        yield Answer(
            id=transcript.id,
            text=transcript.text,
            emotions=[
                emotion
                for emotion, threshold in zip(EMOTIONS, classifier.thresholds, strict=True)
                if scores and scores[emotion] >= threshold
            ],
            scores=scores and {emotion: round(score, 4) for emotion, score in scores.items()},
            model_version=classifier.version,
        )

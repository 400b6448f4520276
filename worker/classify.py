"""Classify transcripts without Kafka or a database: for a look, for a shell pipe, for comparing models."""

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, cast

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
from worker.inference.explain import emotion_to_explain, marked_words, weigh_words
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
    source: str | None = None
    session_id: str | None = None
    message_id: str | None = None
    part: int | None = None
    speaker: str | None = None
    segment: int | None = None
    spoken_at: datetime | None = None
    attributes: msgspec.Raw | None = None
    because: dict[str, list[tuple[str, float]]] | None = None


def classify_messages(messages: Iterable[Message], settings: Settings, *, explain: bool = False) -> Iterator[Answer]:
    """Yield one answer a message that holds a transcript, or one a part of it, in order.

    Args:
        messages: what a file holds.
        settings: the model, and roles by channel.
        explain: Say which words carried the strongest emotion; ten times the cost at most.

    Raises:
        ConfigurationError: the model cannot be loaded.
    """
    parts = (part for message in messages if message.transcript for part in parts_of(message.transcript))
    batches = iter(lambda: list(itertools.islice(parts, _AT_ONCE)), [])
    first = next(batches, [])  # What cannot be read is refused before the model is loaded.
    classifier = load_classifier(settings)
    for some in itertools.chain([first], batches):
        answers = _answers(some, classifier, settings)
        yield from _explained(answers, classifier) if explain else answers


def _answers(parts: list[Part], classifier: Classifier, settings: Settings) -> list[Answer]:
    foreign = [is_foreign(part.transcript.language, classifier.language) for part in parts]
    texts = ["" if left_out else normalize(part.transcript.text) for part, left_out in zip(parts, foreign, strict=True)]
    spoken = [text for text in texts if text]
    scores, windows = classifier.classify_windows(spoken) if spoken else (np.empty((0, len(EMOTIONS)), np.float32), [])
    scored = zip(scores.tolist(), assign_emotions(classifier.rule, scores), windows, strict=True)
    answers = []
    for (transcript, number, cut), text, left_out in zip(parts, texts, foreign, strict=True):
        row, emotions, count = next(scored) if text else (None, [], 1)
        answer = Answer(
            id=transcript.id,
            text=transcript.text,
            emotions=emotions,
            scores=row and {emotion: round(score, 4) for emotion, score in zip(EMOTIONS, row, strict=True)},
            model_version=classifier.version,
            convention=classifier.convention,
            cut=cut,
            windows=count,
            role=role_of(transcript, settings.channel_roles),
            language=transcript.language,
            not_scored=ANOTHER_LANGUAGE if left_out else None,
            source=transcript.source,
            session_id=transcript.session_id,
            message_id=_message_id(transcript.id, number) if cut else None,
            part=number if cut else None,
            speaker=transcript.speaker,
            segment=transcript.segment,
            spoken_at=cast("datetime | None", transcript.spoken_at),
            attributes=msgspec.Raw(transcript.attributes.encode()) if transcript.attributes else None,
        )
        answers.append(answer)
    return answers


def _message_id(part_id: str | None, number: int) -> str | None:
    """Return the id of the message that a part is of; see `schemas.parts.part_id`."""
    return part_id if part_id is None or number == 1 else part_id.rpartition("#")[0]


def _explained(answers: list[Answer], classifier: Classifier) -> list[Answer]:
    """Add the words that carried the strongest emotion, each with the log-odds that are lost without it."""
    found = [(answer, _strongest(answer)) for answer in answers]
    asked = [(answer, emotion) for answer, emotion in found if emotion]
    weights = weigh_words(classifier, [answer.text for answer, _ in asked], [emotion for _, emotion in asked])
    for (answer, emotion), weight in zip(asked, weights, strict=True):
        words = answer.text.split()
        answer.because = {emotion: [(words[at], round(float(weight[at]), 2)) for at in marked_words(weight)]}
    return answers


def _strongest(answer: Answer) -> str | None:
    return emotion_to_explain(answer.emotions, list(answer.scores.values())) if answer.scores else None

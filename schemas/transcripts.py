"""The message: one transcribed utterance, as a speech recognizer publishes it to Kafka."""

import hashlib
import math
import uuid
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

MAX_TEXT_CHARACTERS: Final = 20_000
"""Longer than any utterance: a minute of fast speech is about 1,200 characters."""

_MAX_EPOCH_MS: Final = 253_402_300_799_999
"""The end of the year 9999, after which datetime has no more."""

_ABSENT: Final = msgspec.Raw(b"null")
_NAMESPACE: Final = uuid.UUID("9a2f3c64-6f0e-5b1c-9f57-3c1d6f6f2f10")


class InvalidTranscript(ValueError):
    """A record that holds no transcript; its message says which field is wrong and why."""


Form = TypeVar("Form")
Name = Annotated[str, Meta(max_length=128)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Transcript(Struct, frozen=True, kw_only=True, gc=False):
    """One utterance of one speaker. Only ``text`` is required; unknown fields are ignored."""

    text: Annotated[
        str,
        Meta(max_length=MAX_TEXT_CHARACTERS, description="What was said, as recognized; may be empty."),
    ]
    id: Annotated[
        Name | None,
        Meta(description="Identifies the utterance: a later message of the same id replaces the earlier."),
    ] = None
    source: Annotated[Name | None, Meta(description="Where it was said, such as a queue or a product.")] = None
    session_id: Annotated[Name | None, Meta(description="The call or conversation; the record's key when absent.")] = (
        None
    )
    speaker: Annotated[Name | None, Meta(description="Who spoke: agent, customer, a channel; any word.")] = None
    segment: Annotated[
        Position | None,
        Meta(description="Position of the utterance in its session."),
    ] = None
    language: Annotated[
        Annotated[str, Meta(max_length=35)] | None, Meta(description="BCP 47 tag; Russian when absent.")
    ] = None
    spoken_at: Annotated[
        datetime | Annotated[int, Meta(ge=0, le=_MAX_EPOCH_MS)] | None,
        Meta(
            description="ISO 8601 (UTC where it names no zone) or epoch milliseconds; the record's timestamp "
            "when absent."
        ),
    ] = None
    asr_confidence: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="The recognizer's own, from 0 to 1.")
    ] = None


class VoskWord(Struct, frozen=True, gc=False):
    """A word of Vosk's result."""

    conf: float


class VoskResult(Struct, frozen=True, gc=False):
    """What Vosk's recognizer returns: the mean of its words' ``conf`` becomes ``asr_confidence``."""

    text: str
    result: list[VoskWord] = []


class WhisperSegment(Struct, frozen=True, gc=False):
    """A segment of Whisper's result; ``id`` counts within the file and becomes ``segment``."""

    text: str
    start: float
    end: float
    avg_logprob: Annotated[float, Meta(description="exp of it becomes asr_confidence.")]
    no_speech_prob: float
    id: Position | None = None


class _Message(Transcript, frozen=True, kw_only=True, gc=False):
    """Everything that any of the accepted forms may hold, so that one pass decodes them all."""

    id: Name | Position | None = None  # type: ignore[assignment]  # Wider: Whisper counts its segments.
    # Left unread at first: in a message of another origin, fields of these names are unknown ones, of any shape.
    result: msgspec.Raw = _ABSENT
    avg_logprob: msgspec.Raw = _ABSENT


_decoder: Final = msgspec.json.Decoder(_Message)
_words: Final = msgspec.json.Decoder(list[VoskWord])
_log_probability: Final = msgspec.json.Decoder(float)


def decode(value: bytes | None, *, key: bytes | None = None, timestamp_ms: int) -> Transcript:
    """Read one record's value.

    Args:
        value: JSON: a Transcript, Vosk's result or a Whisper segment. A field ``result`` or ``avg_logprob`` that does
            not look like theirs is an unknown field like others.
        key: the record's key, which names the session where the transcript does not.
        timestamp_ms: the record's timestamp, for ``spoken_at`` where the transcript has none.

    Returns:
        A transcript whose ``spoken_at`` is an aware datetime.

    Raises:
        InvalidTranscript: the value is no JSON or breaks the schema.
    """
    if value is None:
        raise InvalidTranscript("the record has no value (a tombstone)")
    try:
        message = _decoder.decode(value)
        return Transcript(
            text=message.text,
            id=None if isinstance(message.id, int) else message.id or None,
            source=message.source,
            session_id=message.session_id or _session(key),
            speaker=message.speaker,
            segment=_segment(message),
            language=message.language,
            spoken_at=_moment(message.spoken_at, timestamp_ms),
            asr_confidence=_confidence(message),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTranscript(str(error)) from error


def record_id(topic: str, partition: int, offset: int, timestamp_ms: int) -> str:
    """Name a transcript that has no id of its own, the same on every replay.

    The timestamp is part of the name because a topic that was deleted and made anew repeats its offsets.
    """
    # What uuid.uuid5 does, in a third of the time. Source: RFC 9562, section 5.5.
    name = f"{topic}/{partition}/{offset}/{timestamp_ms}".encode()
    digest = bytearray(hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _segment(message: _Message) -> int | None:
    if not isinstance(message.id, int):
        return message.segment
    if _if_of_that_form(_log_probability, message.avg_logprob) is None:
        raise InvalidTranscript(
            "Expected `str | null`, got `int` - at `$.id`: only a Whisper segment has a number there"
        )
    return message.id if message.segment is None else message.segment


def _session(key: bytes | None) -> str | None:
    if not key:
        return None
    return key.decode("utf-8", "replace").replace("\0", "")[:128] or None


def _moment(spoken_at: datetime | int | None, timestamp_ms: int) -> datetime:
    if isinstance(spoken_at, datetime):
        return spoken_at if spoken_at.tzinfo else spoken_at.replace(tzinfo=UTC)
    moment_ms = timestamp_ms if spoken_at is None else spoken_at
    if not 0 <= moment_ms <= _MAX_EPOCH_MS:  # Kafka has -1 for unknown, and takes any number a producer sets.
        return datetime.now(UTC)
    return datetime.fromtimestamp(moment_ms / 1000, UTC)


def _confidence(message: _Message) -> float | None:
    if message.asr_confidence is not None:
        return message.asr_confidence
    if (log_probability := _if_of_that_form(_log_probability, message.avg_logprob)) is not None:
        return min(1.0, math.exp(min(0.0, log_probability)))
    if words := _if_of_that_form(_words, message.result):
        return min(1.0, max(0.0, sum(word.conf for word in words) / len(words)))
    return None


def _if_of_that_form(decoder: msgspec.json.Decoder[Form], value: msgspec.Raw) -> Form | None:
    if value is _ABSENT:
        return None
    try:
        return decoder.decode(value)
    except msgspec.DecodeError:
        return None

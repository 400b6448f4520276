"""The message: one transcribed utterance, as a speech recognizer publishes it to Kafka."""

import hashlib
import math
import re
import uuid
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.attributes import MAX_ATTRIBUTES_BYTES, Attributes, InvalidAttributes, compact
from schemas.keys import KEY_DESCRIPTION, session_of
from schemas.languages import tag_of
from schemas.leniency import forgive, is_segment
from schemas.moments import from_calendar, from_number
from schemas.reasons import explain
from schemas.roles import ROLE_WORDS
from schemas.segments import (
    ABSENT,
    ENDLESS,
    LONGEST_WORD,
    MAX_CALL_CHARACTERS,
    SEGMENT_FIELDS,
    Language,
    Name,
    Position,
    Segment,
    Share,
    has_endless_word,
    read_segments,
)

MAX_TEXT_CHARACTERS: Final = 20_000
"""Longer than any utterance: a minute of fast speech is about 1,200 characters."""

_ESCAPE: Final = ord("\\")
_NUL: Final = re.compile(rb"\\u0000")
"""What Postgres cannot store, in the only way to write it in JSON; looked for where there is an escape at all."""

_NAMESPACE: Final = uuid.UUID("9a2f3c64-6f0e-5b1c-9f57-3c1d6f6f2f10")


class InvalidTranscript(ValueError):
    """A record that holds no transcript; its message says which field is wrong and why."""


Form = TypeVar("Form")


class Transcript(Struct, frozen=True, kw_only=True, gc=False):
    """One utterance of one speaker. Only ``text`` is required; unknown fields are ignored."""

    text: Annotated[
        str,
        Meta(
            max_length=MAX_CALL_CHARACTERS,
            description="What was said, as recognized; may be empty. NUL characters (U+0000) are left out. A text "
            "of more than 64 words becomes several rows, cut at the ends of sentences, else between words.",
        ),
    ]
    id: Annotated[
        Name | None,
        Meta(
            description="Identifies the utterance within its source: a message with that id and a later record "
            "timestamp replaces the earlier one."
        ),
    ] = None
    source: Annotated[
        Name | None, Meta(description="Where it was said, such as a queue or a product; the topic when absent.")
    ] = None
    session_id: Annotated[
        Name | None,
        Meta(description=f"The call or conversation; the record's key when absent. {KEY_DESCRIPTION}"),
    ] = None
    speaker: Annotated[
        Name | None,
        Meta(description="Who spoke: agent, customer, a channel; any word."),
    ] = None
    role: Annotated[
        Name | None,
        Meta(
            description=f"Who spoke, as agent or customer: {', '.join(ROLE_WORDS)}, with a number at most. Told by the "
            "speaker's name, else by WORKER_CHANNEL_ROLES, where this is absent or another word."
        ),
    ] = None
    segment: Annotated[
        Position | None,
        Meta(description="Position of the utterance in its session."),
    ] = None
    language: Annotated[
        Language | None,
        Meta(
            description="BCP 47 tag, or a name such as Russian or русский; `language_code` when absent, auto or und, "
            "then the model's language. A transcript of another language gets no scores."
        ),
    ] = None
    spoken_at: Annotated[
        datetime | Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="ISO 8601 (UTC where it names no zone), or a number since 1970: seconds, milliseconds, "
            "microseconds or nanoseconds, told apart by size (from 1e8, 1e11, 1e14 and 1e17 on). The record's "
            "timestamp counts when this is absent, less than 1e8, or of the years 1 or 9999, which stand for no "
            "time. Where that is unknown too, so is the moment."
        ),
    ] = None
    asr_confidence: Annotated[Share | None, Meta(description="The recognizer's own, from 0 to 1.")] = None
    attributes: Annotated[
        Attributes | None,
        Meta(
            description="All else that is worth keeping, such as channel, agent and tenant: an object of at most "
            f"{MAX_ATTRIBUTES_BYTES} bytes of compact JSON, without NUL characters. `channel` may tell the role."
        ),
    ] = None
    segments: Annotated[
        tuple[Segment, ...],
        Meta(
            description="What a whole call consists of, in order: each segment becomes a row. `speakers`, "
            "`utterances` and `chunks` of recognizers are read too, and so are their `transcript`, `confidence` and "
            "`avg_logprob`."
        ),
    ] = ()


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
    attributes: msgspec.Raw = ABSENT  # type: ignore[assignment]  # Read by `compact`.
    # Left unread at first: in a message of another origin, fields of these names are unknown ones, of any shape.
    role: msgspec.Raw = ABSENT  # type: ignore[assignment]
    result: msgspec.Raw = ABSENT
    avg_logprob: msgspec.Raw = ABSENT
    language_code: msgspec.Raw = ABSENT
    segments: msgspec.Raw = ABSENT  # type: ignore[assignment]
    speakers: msgspec.Raw = ABSENT
    utterances: msgspec.Raw = ABSENT
    chunks: msgspec.Raw = ABSENT


_decoder: Final = msgspec.json.Decoder(_Message)
_words: Final = msgspec.json.Decoder(list[VoskWord])
_log_probability: Final = msgspec.json.Decoder(float)
_name: Final = msgspec.json.Decoder(Name)
_language_code: Final = msgspec.json.Decoder(Language)


def decode(value: bytes | None, *, key: bytes | None = None, timestamp_ms: int) -> Transcript:
    """Read one record's value.

    Args:
        value: JSON: a Transcript, Vosk's result or a Whisper segment. A field ``result`` or ``avg_logprob`` that does
            not look like theirs is an unknown field like others.
        key: the record's key, of any bytes, which names the session where the transcript does not.
        timestamp_ms: the record's timestamp, for ``spoken_at`` where the transcript has none.

    Returns:
        A transcript whose ``spoken_at`` is an aware datetime, or None where nobody knows.

    Raises:
        InvalidTranscript: the value is no JSON or breaks the schema.
    """
    if value is None:
        raise InvalidTranscript("the record has no value (a tombstone)")
    try:
        try:
            message = _decoder.decode(value)
        except msgspec.ValidationError:
            message = _decoder.decode(forgive(value))
        if _ESCAPE in value and _NUL.search(value):
            message = _without_nul(message)
        if len(message.text) > LONGEST_WORD and has_endless_word(message.text):
            raise InvalidTranscript(f"{ENDLESS} - at `$.text`")
        name, segment = message.id, message.segment
        if isinstance(name, int):
            name, segment = _name_and_segment(name, message, value)
        return Transcript(
            text=message.text,
            id=name or None,
            source=message.source,
            session_id=message.session_id or session_of(key),
            speaker=message.speaker,
            role=_if_of_that_form(_name, message.role),
            segment=segment,
            language=_language(message),
            spoken_at=_moment(message.spoken_at, timestamp_ms),
            asr_confidence=_confidence(message) if message.asr_confidence is None else message.asr_confidence,
            attributes=None if message.attributes is ABSENT else compact(message.attributes),
            segments=()
            if message.segments is message.speakers is message.utterances is message.chunks is ABSENT
            else read_segments({name: getattr(message, name) for name in SEGMENT_FIELDS}, message.text),
        )
    except InvalidAttributes as error:
        raise InvalidTranscript(str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTranscript(explain(value, error)) from error


def record_id(topic: str, partition: int, offset: int, timestamp_ms: int) -> str:
    """Name a transcript that has no id of its own, the same on every replay.

    The timestamp is part of the name because a topic that was deleted and made again repeats its offsets.
    """
    # What uuid.uuid5 does, in a third of the time. Source: RFC 9562, section 5.5.
    name = f"{topic}/{partition}/{offset}/{timestamp_ms}".encode()
    digest = bytearray(hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _name_and_segment(number: int, message: _Message, value: bytes) -> tuple[str | None, int | None]:
    """Return what a number as ``id`` is: Whisper counts the segments of a file by it, others name the utterance."""
    if _if_of_that_form(_log_probability, message.avg_logprob) is not None:
        return None, number if message.segment is None else message.segment
    if is_segment(value):
        raise InvalidTranscript(
            "Expected `str | null`, got `int` - at `$.id`: next to a segment's fields, without a number as "
            "`avg_logprob`, it may count segments or name the utterance. Send `segment`, or the `id` in quotes"
        )
    return str(number), message.segment


def _without_nul(message: _Message) -> _Message:
    for name in (message.id, message.source, message.session_id, message.speaker, message.language):
        if isinstance(name, str) and "\0" in name:
            raise InvalidTranscript(
                "`id`, `source`, `session_id`, `speaker` or `language` holds NUL, which no database stores"
            )
    if "\0" in message.text:
        return msgspec.structs.replace(message, text=message.text.replace("\0", ""))
    return message


def _language(message: _Message) -> str | None:
    """Return the language's tag; AssemblyAI calls it ``language_code``."""
    if (tag := tag_of(message.language)) or message.language_code is ABSENT:
        return tag
    code = _if_of_that_form(_language_code, message.language_code)
    return None if code is None or "\0" in code else tag_of(code)


def _moment(spoken_at: datetime | float | None, timestamp_ms: int) -> datetime | None:
    if spoken_at is not None:
        said = from_calendar(spoken_at) if isinstance(spoken_at, datetime) else from_number(spoken_at)
        if said:
            return said
    # Kafka has -1 for unknown, and takes any number that a producer sets. The clock would say another at each delivery.
    return from_number(timestamp_ms)


def _confidence(message: _Message) -> float | None:
    if (log_probability := _if_of_that_form(_log_probability, message.avg_logprob)) is not None:
        return min(1.0, math.exp(min(0.0, log_probability)))
    if words := _if_of_that_form(_words, message.result):
        return min(1.0, max(0.0, sum(word.conf for word in words) / len(words)))
    return None


def _if_of_that_form(decoder: msgspec.json.Decoder[Form], value: msgspec.Raw) -> Form | None:
    if value is ABSENT:
        return None
    try:
        return decoder.decode(value)
    except msgspec.DecodeError:
        return None

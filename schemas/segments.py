"""The segments of a whole call that comes as one message, as Whisper, WhisperX, transformers and others write them."""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.keys import MAX_NAME_CHARACTERS
from schemas.languages import tag_of
from schemas.moments import from_calendar, from_number
from schemas.repairs import repair_fields

SEGMENT_FIELDS: Final = ("speakers", "utterances", "segments", "chunks")
"""Fields that hold a call's segments, the best first: the first two name speakers where there are several fields."""

MAX_CALL_CHARACTERS: Final = 500_000
"""Longest text of a message, which may be a whole call: about seven hours of fast speech."""

ABSENT: Final = msgspec.Raw(b"null")

_MOST: Final = 10_000
"""Segments of a message; twelve hours of a call have as many."""

LONGEST_WORD: Final = 20_000
"""Characters without a space that are still cut and scored; more is no speech."""

ENDLESS: Final = f"more than {LONGEST_WORD} characters without a space"

Name = Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]
Language = Annotated[str, Meta(max_length=35)]
Share = Annotated[float, Meta(ge=0, le=1)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Segment(Struct, frozen=True, kw_only=True, gc=False):
    """What one speaker said in a call, without a break."""

    text: Annotated[str, Meta(description="What was said; a segment without words is left out.")]
    speaker: Annotated[Name | None, Meta(description="Who spoke; the message's where it is absent.")] = None
    role: Annotated[
        Name | None, Meta(description="Who spoke, as agent or customer; the message's where `speaker` is absent too.")
    ] = None
    channel: Annotated[
        Name | Position | None,
        Meta(description="Channel of the recording; one of the row's `attributes` where the segments name several."),
    ] = None
    language: Annotated[Language | None, Meta(description="BCP 47 tag; the message's where it is absent.")] = None
    spoken_at: Annotated[datetime | None, Meta(description="ISO 8601; the message's where it is absent.")] = None
    asr_confidence: Annotated[
        Share | None, Meta(description="The recognizer's own, from 0 to 1; the message's where it is absent.")
    ] = None


class _Word(Struct, gc=False):
    score: float


class _Written(Struct, gc=False):
    """A segment as tools write it; times and all else that has no column are passed over."""

    text: str | UnsetType | None = UNSET
    transcript: str | UnsetType | None = UNSET
    speaker: Name | int | None = None
    channel: Name | Position | None = None
    role: msgspec.Raw = ABSENT
    language: Language | None = None
    spoken_at: datetime | Annotated[float, Meta(ge=0)] | None = None
    asr_confidence: float | None = None
    confidence: float | None = None
    avg_logprob: float | None = None
    words: msgspec.Raw = ABSENT

    @property
    def said(self) -> str | None:
        """The words, which Deepgram calls ``transcript``; empty where they are null, None where both are absent."""
        if self.text is UNSET and self.transcript is UNSET:
            return None
        return self.text or self.transcript or ""


_entries: Final = msgspec.json.Decoder(list[msgspec.Raw])
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries_fields: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_segments: Final = msgspec.json.Decoder(list[_Written])
_role: Final = msgspec.json.Decoder(Name)
_words: Final = msgspec.json.Decoder(list[_Word])


def read_segments(fields: Mapping[str, msgspec.Raw], text: str | None) -> tuple[Segment, ...]:
    """Return the segments of a call, in order; none where no field holds any.

    A field holds segments where it is a list of which an entry has a text, and where its words are most of the text.
    Any other is an unknown field.

    Args:
        fields: Values of SEGMENT_FIELDS, as far as the message has them.
        text: All that was said; None where the message does not repeat it.

    Raises:
        msgspec.ValidationError: one of the segments breaks the schema.
    """
    for name in SEGMENT_FIELDS:
        if (raw := fields.get(name, ABSENT)) is not ABSENT and _holds_segments(raw):
            segments = tuple(_read(name, raw))
            if _are_all(name, segments, text):
                return segments
    return ()


def has_endless_word(text: str) -> bool:
    """Whether a text holds a stretch without a space that is no speech."""
    return len(text) > LONGEST_WORD and max(map(len, text.split()), default=0) > LONGEST_WORD


def _holds_segments(raw: msgspec.Raw) -> bool:
    try:
        return any(map(_has_text, _entries.decode(raw)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _has_text(entry: msgspec.Raw) -> bool:
    try:
        fields = _fields.decode(entry)
    except msgspec.ValidationError:
        return False
    return any(bytes(fields.get(name, b"")).startswith(b'"') for name in ("text", "transcript"))


def _decode(raw: msgspec.Raw) -> list[_Written]:
    """Return segments, with their fields repaired only where they break the schema as they are."""
    try:
        return _segments.decode(raw)
    except msgspec.ValidationError:
        entries = _entries_fields.decode(raw)
        for fields in entries:
            repair_fields(fields)
        return _segments.decode(msgspec.json.encode(entries))


def _read(name: str, raw: msgspec.Raw) -> Iterator[Segment]:
    try:
        written = _decode(raw)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(str(error).replace("`$", f"`$.{name}")) from None
    if len(written) > _MOST:
        raise msgspec.ValidationError(f"more than {_MOST} segments - at `$.{name}`")
    # In a row, with a space between each two, as the text of a message that does not repeat them.
    if sum(len(segment.said or "") + 1 for segment in written) > MAX_CALL_CHARACTERS + 1:
        raise msgspec.ValidationError(f"more than {MAX_CALL_CHARACTERS} characters in all - at `$.{name}`")
    # A single channel tells nothing of who spoke.
    several_channels = len({label for segment in written if (label := _label(segment.channel))}) > 1
    for number, segment in enumerate(written):
        if segment.said is None:
            raise msgspec.ValidationError(f"a segment has no `text` - at `$.{name}[{number}]`")
        if has_endless_word(segment.said):
            raise msgspec.ValidationError(f"{ENDLESS} - at `$.{name}[{number}]`")
        speaker = _name_of(segment, several_channels=several_channels)
        channel = segment.channel if several_channels and _label(segment.channel) else None
        for field, value in (("speaker", speaker), ("channel", channel), ("language", segment.language)):
            if isinstance(value, str) and "\0" in value:
                raise msgspec.ValidationError(f"NUL, which no database stores - at `$.{name}[{number}].{field}`")
        yield Segment(
            text=segment.said.replace("\0", ""),
            speaker=speaker,
            role=_role_of(segment),
            channel=channel,
            language=tag_of(segment.language),
            spoken_at=_moment_of(segment),
            asr_confidence=_confidence_of(segment),
        )


def _are_all(name: str, segments: tuple[Segment, ...], text: str | None) -> bool:
    """Whether segments are what the text consists of, and none is a mere word, as chunks may be."""
    if (
        name in ("speakers", "chunks")
        and len(segments) > 1
        and not any(len(segment.text.split()) > 1 for segment in segments)
    ):
        return text is None
    return text is None or 2 * sum(len(segment.text) for segment in segments) >= len(text)


def _name_of(segment: _Written, *, several_channels: bool) -> str | None:
    """Name the speaker, else the channel; also the channel where there are several and each counts its speakers."""
    speaker, channel = _label(segment.speaker), _label(segment.channel)
    if speaker and not (several_channels and channel and speaker.isdecimal()):
        return f"speaker-{speaker}" if speaker.isdecimal() else speaker
    return f"channel-{channel}" if channel.isdecimal() else channel or None


def _label(said: str | int | None) -> str:
    return "" if said is None else str(said).strip()


def _role_of(segment: _Written) -> str | None:
    """Return the role, which is read where it is a word; any other is an unknown field."""
    if segment.role is ABSENT:
        return None
    try:
        return _role.decode(segment.role)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _moment_of(segment: _Written) -> datetime | None:
    if isinstance(segment.spoken_at, datetime):
        return from_calendar(segment.spoken_at)
    return None if segment.spoken_at is None else from_number(segment.spoken_at)


def _confidence_of(segment: _Written) -> float | None:
    if segment.avg_logprob is not None:
        return math.exp(min(0.0, segment.avg_logprob))
    for share in (segment.asr_confidence, segment.confidence):
        if share is not None:
            return share if 0 <= share <= 1 else None
    try:
        words = [] if segment.words is ABSENT else _words.decode(segment.words)
    except msgspec.DecodeError:
        return None
    return min(1.0, max(0.0, sum(word.score for word in words) / len(words))) if words else None

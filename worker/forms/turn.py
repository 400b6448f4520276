"""What every form yields: what one speaker said without a break."""

import msgspec
from msgspec import Struct

from worker.errors import ConfigurationError

Label = str | int | None
"""A speaker or a channel, as tools name them."""


class UnreadableFile(ConfigurationError):
    """A file that is none of the known forms, or breaks the one that it has; the message names line and remedy."""


class Turn(Struct, kw_only=True):
    """What one speaker said without a break.

    Attributes:
        text: the words.
        start: seconds since the call's beginning, which order the turns of several channels.
        speaker: who spoke.
        channel: where the speaker was recorded, as the tool counts or names it.
        role: who spoke, as agent or customer, where the file says it apart from the speaker.
        agent: name of the agent who served the call.
        confidence: the recognizer's own, from 0 to 1.
        language: BCP 47 tag.
        session: the call, where the file names it.
        id: the turn's name, where the file gives one.
        segment: the turn's position in the call, where the file gives one.
        source: where it was said.
        spoken_at: ISO 8601, or a number since 1970, where the file gives a moment and no mere offset.
    """

    text: str
    start: float | None = None
    speaker: str | None = None
    channel: Label = None
    role: str | None = None
    agent: str | None = None
    confidence: float | None = None
    language: str | None = None
    session: str | None = None
    id: str | None = None
    segment: int | None = None
    source: str | None = None
    spoken_at: str | None = None


def speaker_name(speaker: Label = None, channel: Label = None) -> str | None:
    """Return the speaker's name, else the channel's; numbers become ``speaker-1`` and ``channel-0``.

    ``?`` is no name: whisper.cpp writes it where it cannot tell.
    """
    for label, kind in ((speaker, "speaker"), (channel, "channel")):
        if label is not None and (name := str(label).strip()) not in ("", "?"):
            return f"{kind}-{name}" if name.isdecimal() else name
    return None


def in_channel(turn: Turn, channel: Label) -> Turn:
    """Return a turn with its channel set."""
    turn.channel = channel
    return turn


def share(value: float | None) -> float | None:
    """Return a confidence; None where it is none from 0 to 1, as the scores of some decoders."""
    return value if value is not None and 0 <= value <= 1 else None


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the words' confidences; None where any word has none."""
    known = [value for value in values if value is not None]
    return share(sum(known) / len(known)) if known and len(known) == len(values) else None


def seconds(duration: str | float | None) -> float | None:
    """Return a duration in seconds, from a number or as protobuf writes it in JSON: ``"1.200s"``.

    Raises:
        msgspec.ValidationError: it is neither.
    """
    if duration is None or isinstance(duration, int | float):
        return duration
    try:
        return float(duration.removesuffix("s"))
    except ValueError:
        raise msgspec.ValidationError('Expected a duration such as "1.200s"') from None


def in_time(turns: list[Turn]) -> list[Turn]:
    """Return turns in the order in which they were said, so that two channels become one conversation."""
    if any(turn.start is None for turn in turns):
        return turns
    return sorted(turns, key=lambda turn: turn.start or 0.0)

"""Fields that break the schema and can still mean one thing only: they are written as the schema has them.

Only messages that were refused as they are come here, so that the others pay nothing for it.
"""

from typing import Final

import msgspec

from schemas.repairs import NULL, repair_fields
from schemas.segments import read_segments

LENIENCY: Final = (
    "The worker takes more than the schema says, where it can mean one thing only: a whole number as `id`, `source`, "
    '`session_id` or `speaker`, which counts as its digits; `segment` as 2.0 or "2"; `asr_confidence` as "0.9"; '
    '`spoken_at` as any ISO 8601, as a date, which begins at midnight, or as a number in quotes; "" where a number or '
    "a time is wanted, which counts as null; `attributes` as a string that holds JSON; `role` of another shape, "
    "which counts as absent. A number is no `id` where one of a recognizer's `start`, `end`, `seek`, `avg_logprob` "
    "and `no_speech_prob` stands next to it, since it may count segments. Where `text` is absent or null, it is that "
    "of the segments in a row. A segment's fields are taken likewise, and its null as `text` stands for no words."
)
"""What producers are told of it."""

_SEGMENT_ONLY: Final = {"avg_logprob", "end", "no_speech_prob", "seek", "start"}
"""Fields of recognizers' segments, whose number counts within a file."""

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_segment(value: bytes) -> bool:
    """Whether an object has fields that only a recognizer's segments have: a number as its ``id`` names nothing."""
    return not _SEGMENT_ONLY.isdisjoint(_fields.decode(value))


def forgive(value: bytes) -> bytes:
    """Return a message with its fields as the schema has them, as far as they can mean one thing only.

    Raises:
        msgspec.DecodeError: it is no JSON object, or one of its segments breaks the schema.
        UnicodeDecodeError: a name of a field is no UTF-8.
    """
    fields = _fields.decode(value)
    if bytes(fields.get("text", NULL)).strip() == NULL and (segments := read_segments(fields, None)):
        text = " ".join(" ".join(segment.text for segment in segments).split())
        fields["text"] = msgspec.Raw(msgspec.json.encode(text))
    name = fields.get("id")
    repair_fields(fields)
    if name is not None and not _SEGMENT_ONLY.isdisjoint(fields):
        fields["id"] = name
    return msgspec.json.encode(fields)

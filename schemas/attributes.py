"""Attributes: what a producer knows of a transcript besides its text, an object of JSON that Postgres can hold."""

import re
from typing import Final

import msgspec

MAX_ATTRIBUTES_BYTES: Final = 4096

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL character, not the text of an escape."""

_NO_OBJECT: Final = '`attributes` is no JSON object: send one such as {"tenant": "north"}'
_ANY: Final = msgspec.json.Decoder()
_fields: Final = msgspec.json.Decoder(dict[str, object])


class Attributes(str):
    """Compact JSON of an object; decoded, it could take sixty times its bytes."""

    __slots__ = ()


class InvalidAttributes(ValueError):
    """Attributes that cannot be stored; the message says why and what to send."""


def compact(raw: bytes) -> Attributes | None:
    """Return attributes as they are stored, JSON without spaces; None for null and for an empty string.

    Numbers become what a double holds, whole numbers stay as they are, and of fields with one name the last counts.

    Args:
        raw: JSON: an object, or a string that holds one.

    Raises:
        InvalidAttributes: it is no object, too long, or something that no database stores.
        msgspec.DecodeError: it is no JSON.
        UnicodeDecodeError: it is no UTF-8.
        RecursionError: it is nested too deeply.
    """
    value = _decoded(raw)
    if isinstance(value, str):
        value = _within(value)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidAttributes(_NO_OBJECT)
    written = msgspec.json.encode(value)
    if len(written) > MAX_ATTRIBUTES_BYTES:
        raise InvalidAttributes(
            f"`attributes` takes {len(written):,} bytes of JSON, and {MAX_ATTRIBUTES_BYTES:,} are stored at most: send "
            "fewer fields"
        )
    if _NUL.search(written):
        raise InvalidAttributes("`attributes` holds NUL (U+0000), which no database stores")
    return Attributes(written.decode())


def with_channel(attributes: Attributes | None, channel: str | int) -> Attributes:
    """Return attributes with a channel, which replaces theirs."""
    fields = _fields.decode(attributes.encode()) if attributes else {}
    return Attributes(msgspec.json.encode(fields | {"channel": channel}).decode())


def _within(text: str) -> object:
    """Return what an object that was encoded twice holds, as cells of tables often do; None of an empty string."""
    if not text.strip():
        return None
    try:
        return _decoded(text.encode())
    except msgspec.DecodeError as error:
        raise InvalidAttributes(_NO_OBJECT) from error


def _decoded(raw: bytes) -> object:
    try:
        return _ANY.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidAttributes(
            "`attributes` holds a number beyond 1.8e308, which no double holds: send it in quotes"
        ) from error

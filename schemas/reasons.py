"""Why a value is no transcript, in words for whoever sends it; nothing that a person said is among them."""

import re
from typing import Final

import msgspec

_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x82SNAPPY\0": "snappy",
    b"BZh": "bzip2",
}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF_16: Final = re.compile(rb'[{\["]\0|\0[{\["]\0')
_JAVA: Final = b"\xac\xed\x00\x05"
_REGISTRY_HEADER: Final = 5
"""Bytes before the data: a zero, and the schema's number. Source: Confluent's wire format."""

_PLACE: Final = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER: Final = re.compile(rb"NaN|Infinity")
_HALF: Final = re.compile(rb"\\u[dD][89a-bA-B]..(?!\\u[dD][c-fC-F])")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,40}", re.ASCII)
_MOST_NAMES: Final = 10

_SEND: Final = 'send a JSON object such as {"text": "…"}'

_NO_OBJECT: Final = {
    b"[": "the value is a JSON array: send each utterance in it as a message of its own",
    b'"{': "the value is a JSON object within a JSON string: encode it once",
    b'"': f"the value is a JSON string: {_SEND}",
}


def explain(value: bytes, error: Exception) -> str:
    """Return what is wrong with a value and what to send in its place.

    Args:
        value: the record's value, which could not be decoded.
        error: what the decoder said of it.
    """
    if not value.strip():
        return f"the value is empty: {_SEND}"
    if said := _other_format(value):
        return said
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return _no_transcript(value, str(error))
    return _not_utf_8(value) or _no_json(value, str(error))


def _other_format(value: bytes) -> str | None:
    for beginning, name in _COMPRESSED.items():
        if value.startswith(beginning):
            return f"the value is compressed by {name}: compress by the producer's compression.type, which readers undo"
    if value.startswith(_BYTE_ORDER_MARK):
        return "the value begins with a byte order mark (BOM): send UTF-8 without it"
    if value.startswith(_UTF_16_MARKS) or _UTF_16.match(value):
        return "the value is UTF-16 or UTF-32: send UTF-8"
    if value.startswith(_JAVA):
        return "the value is a serialized Java object: send JSON"
    if value.startswith(b"\0") and len(value) > _REGISTRY_HEADER:
        number = int.from_bytes(value[1:_REGISTRY_HEADER])
        return (
            f"the value begins with a schema registry's magic byte 0 and schema number {number}, as Avro, Protobuf and "
            "JSON with a schema do: send JSON by a serializer without a registry"
        )
    return None


def _no_transcript(value: bytes, error: str) -> str:
    """Say why JSON is no transcript."""
    for beginning, said in _NO_OBJECT.items():
        if value.lstrip().startswith(beginning):
            return said
    if not value.lstrip().startswith(b"{"):
        return f"the value is JSON, but no object: {_SEND}"
    if "required field `text`" in error:
        return f"{error}: {_fields_of(value)}"
    return error.replace("Invalid RFC3339 encoded datetime", "Expected ISO 8601 or a number since 1970")


def _fields_of(value: bytes) -> str:
    try:
        fields = list(msgspec.json.decode(value, type=dict[str, msgspec.Raw]))
    except UnicodeDecodeError:
        return "the name of a field is not UTF-8"
    # Of an object that is a table of names or words, people may have said the keys.
    plain = [f"`{field}`" for field in fields if _PLAIN_NAME.fullmatch(field)][:_MOST_NAMES]
    others = len(fields) - len(plain)
    if not plain:
        return "its fields have other names" if others else "it is empty"
    return f"its fields are {', '.join(plain)}" + (f" and {others} more" if others else "")


def _not_utf_8(value: bytes) -> str | None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return _cut_off(value)
        return (
            f"the value is not UTF-8 (byte 0x{value[error.start]:02x} at {error.start}): encode it as UTF-8, not as "
            "Windows-1251 or another"
        )
    return None


def _no_json(value: bytes, error: str) -> str:
    """Say why a text is no JSON."""
    if not value.lstrip().startswith((b"{", *_NO_OBJECT)):
        return f"the value is no JSON, but plain text or another format: {_SEND}"
    if "surrogate" in error or ("truncated" in error and value.rstrip().endswith(b"}") and _HALF.search(value)):
        return "half of a character stands escaped (a lone surrogate, \\ud800 to \\udfff): cut texts between characters"
    if "truncated" in error:
        return _cut_off(value)
    place = _PLACE.search(error)
    return (_unexpected(value, int(place[1]), error) if place else None) or error


def _unexpected(value: bytes, at: int, error: str) -> str | None:
    """Say what stands at a place, in bytes, where JSON has none of it."""
    if "trailing characters" in error:
        return f"more follows the JSON at byte {at}: one message holds one transcript"
    if number := _NO_NUMBER.match(value, at):
        return f"{number[0].decode()} at byte {at} is no JSON: send null (Python: json.dumps(…, allow_nan=False))"
    found = value[at : at + 1]
    if found == b"'":
        return f"a single quote at byte {at} is no JSON: Python's repr and str write so, json.dumps does not"
    if found and found < b" ":
        return f"a control character (0x{found.hex()}) stands unescaped at byte {at}: a JSON encoder escapes it"
    return None


def _cut_off(value: bytes) -> str:
    return f"the JSON breaks off at byte {len(value)}: the value was cut, or is a part of a larger one"

"""The session that a record's key names: one for each key, of any bytes."""

import hashlib
import re
from typing import Final

MAX_NAME_CHARACTERS: Final = 128
"""Longest name of a session, a source, a speaker or an utterance."""

_HEX: Final = "hex:"
_HASH: Final = "sha256:"
_PLAIN: Final = re.compile(rf"(?!{_HEX}|{_HASH})[^\x00-\x1f\x7f-\x9f]{{1,{MAX_NAME_CHARACTERS}}}")

KEY_DESCRIPTION: Final = (
    "Names the session where the transcript does not, and keeps its order. Plain UTF-8 without control characters, of "
    f"at most {MAX_NAME_CHARACTERS} characters, is the name as it is. Any other key, such as an int64, the bytes of a "
    f"UUID or Avro, becomes `{_HEX}` with its bytes in hexadecimal, or `{_HASH}` with their SHA-256 where that is too "
    "long. So does a key that begins with either word: no two keys share a name."
)
"""What producers are told of keys."""


def session_of(key: bytes | None) -> str | None:
    """Return the name of the session that a key stands for, the same for ever; None without a key."""
    if not key:
        return None
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return _spelled_out(key)
    return name if _PLAIN.fullmatch(name) else _spelled_out(key)


def _spelled_out(key: bytes) -> str:
    name = _HEX + key.hex()
    return name if len(name) <= MAX_NAME_CHARACTERS else _HASH + hashlib.sha256(key).hexdigest()

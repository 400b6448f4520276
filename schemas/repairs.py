"""Fields of a message or a segment that break the schema and can still mean one thing only."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.moments import from_calendar

_WHOLE: Final = re.compile(rb'"?(-?(?:0|[1-9]\d*))(?:\.0+)?"?')
_QUOTED: Final = re.compile(rb'"((?:0|[1-9]\d*)(?:\.\d+)?)"')
_EPOCH: Final = re.compile(r"[1-9][0-9]{8,18}(\.[0-9]+)?")

NULL: Final = b"null"


def repair_fields(fields: dict[str, msgspec.Raw]) -> None:
    """Write fields as the schema has them, as far as they can mean one thing only."""
    for name in _REPAIRS.keys() & fields.keys():
        fields[name] = msgspec.Raw(_REPAIRS[name](bytes(fields[name]).strip()))


def _as_name(raw: bytes) -> bytes:
    whole = _WHOLE.fullmatch(raw)
    return b'"%s"' % whole[1] if whole and not raw.startswith(b'"') else raw


def _as_position(raw: bytes) -> bytes:
    whole = _WHOLE.fullmatch(raw)
    return whole[1] if whole else _or_null(raw)


def _as_number(raw: bytes) -> bytes:
    quoted = _QUOTED.fullmatch(raw)
    return quoted[1] if quoted else _or_null(raw)


def _as_moment(raw: bytes) -> bytes:
    if not raw.startswith(b'"'):
        return raw
    said = msgspec.json.decode(raw, type=str).strip()
    if _EPOCH.fullmatch(said):
        return said.encode()
    try:
        moment = from_calendar(datetime.fromisoformat(said))
    except ValueError:
        return _or_null(raw)
    return msgspec.json.encode(moment and moment.astimezone(UTC))


def _or_null(raw: bytes) -> bytes:
    """Return an empty text as null: who has nothing to say of a number or a time often says it so."""
    return NULL if raw == b'""' else raw


_REPAIRS: Final[dict[str, Callable[[bytes], bytes]]] = {
    **dict.fromkeys(("id", "source", "session_id", "speaker"), _as_name),
    "segment": _as_position,
    "asr_confidence": _as_number,
    "spoken_at": _as_moment,
}

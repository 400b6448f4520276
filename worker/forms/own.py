"""Our own messages: JSON lines, which stay as they are, or objects in any layout, also within an array."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from schemas.segments import SEGMENT_FIELDS
from schemas.transcripts import InvalidTranscript, Transcript, decode
from worker.forms.naming import Message, Naming, fit
from worker.forms.source import Source
from worker.forms.turn import UnreadableFile

_CONTAINERS: Final = {
    "alternatives",
    "audio_filepath",
    "chunks",
    "monologues",
    "recognizedPhrases",
    "result",
    "results",
    "segments",
    "speakers",
    "transcription",
    "utterances",
    "word_segments",
    "words",
}
"""Fields by which recognizers' documents are known; of ours, only a call that bears a name has one."""

_PHRASES: Final = {"result"}
"""Of them, the one that Vosk's phrases have, which the worker reads as they are."""

_OURS: Final = {"session_id", "source", "segment", "spoken_at", "asr_confidence", "attributes"}
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def knows_ours(document: dict[str, Any]) -> bool:
    """Whether an object is a message of ours: a text that is no segment and holds none, or a call that bears a name."""
    if _is_call(document, named=isinstance(document.get("id"), str)):
        return True
    return isinstance(document.get("text"), str) and _CONTAINERS.isdisjoint(document) and not is_segment(document)


def _is_call(fields: Mapping[str, Any], *, named: bool) -> bool:
    """Whether an object is a call of ours: it holds segments, and has an id that is text, or a field of ours alone."""
    held = _CONTAINERS & fields.keys()
    return bool(held) and held <= set(SEGMENT_FIELDS) and (named or not _OURS.isdisjoint(fields))


def is_segment(document: dict[str, Any]) -> bool:
    """Whether an object is a segment of a call: a text with its times, and nothing that our messages alone have."""
    times = {"text", "start", "end"} <= document.keys()
    return times and _OURS.isdisjoint(document) and not isinstance(document.get("id"), str)


def is_object(line: str) -> bool:
    """Whether a line is a JSON object."""
    try:
        _fields.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def is_message(line: str) -> bool:
    """Whether a line is a message that the worker reads as it is: ours, a phrase of Vosk, or a segment of Whisper."""
    try:
        fields = _fields.decode(line)
        decode(line.encode(), timestamp_ms=0)
    except (msgspec.DecodeError, UnicodeError, RecursionError, InvalidTranscript):
        return False
    named = bytes(fields.get("id", b"")).startswith(b'"')
    return (_CONTAINERS - _PHRASES).isdisjoint(fields) or _is_call(fields, named=named)


class OwnForm:
    """Our own messages."""

    name: Final = "jsonl"

    def messages(self, source: Source, naming: Naming, *, strict: bool) -> Iterator[Message]:
        """Yield the messages of a file or a pipe; one that holds no transcript is left for the worker to refuse.

        Vosk's partial results are passed over.

        Args:
            source: JSON lines, or JSON in any layout.
            naming: gives ids to messages that have none, or none that lasts.
            strict: refuse what holds no transcript.

        Raises:
            UnreadableFile: a line is no JSON, or by `strict`.
        """
        for place, value in _values(source):
            try:
                transcript = decode(value, timestamp_ms=0)
            except InvalidTranscript as error:
                if _is_partial(value):
                    continue
                if strict:
                    raise UnreadableFile(f"{source.name}, {place} holds no transcript: {error}") from error
                yield Message(place, value, None)
                continue
            name = naming.whole_id(transcript.id, transcript.session_id) if transcript.id else naming.row_id()
            session = transcript.session_id or naming.session_of_lines
            role = naming.role_by_channel(transcript) or transcript.role
            if (name, session, role) == (transcript.id, transcript.session_id, transcript.role):
                yield Message(place, value, transcript)
                continue
            names = {"id": name and fit(name), "session_id": session and fit(session), "role": role}
            named = msgspec.structs.replace(transcript, **names)
            yield Message(place, _renamed(value, named), named)


def _is_partial(value: bytes) -> bool:
    """Whether a message is what Vosk gives while somebody still speaks: it says all of it once more in the end."""
    try:
        fields = _fields.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return "partial" in fields and fields.keys() <= {"partial", "partial_result"}


def _renamed(value: bytes, transcript: Transcript) -> bytes:
    """Return a message with other names; the number that is the id of Whisper's segments goes where it belongs."""
    names = {
        "id": transcript.id,
        "session_id": transcript.session_id,
        "segment": transcript.segment,
        "role": transcript.role,
    }
    given = {name: value for name, value in names.items() if value is not None}
    return msgspec.json.encode(given | {key: raw for key, raw in _fields.decode(value).items() if key not in given})


def _values(source: Source) -> Iterator[tuple[str, bytes]]:
    lines = source.lines()
    number, first = next(lines, (0, ""))
    if not first:
        return
    if not is_object(first):
        yield from ((place, msgspec.json.encode(document)) for place, document in source.documents())
        return
    yield f"line {number}", first.encode()
    for number, line in lines:
        if not line.startswith(("{", "[")):
            raise UnreadableFile(
                f"{source.name}, line {number}: no JSON among JSON lines. Put text on the topic from a file of its own"
            )
        yield f"line {number}", line.encode()


OWN: Final = OwnForm()

"""Names that last: a session for each call, a place and an id for each turn, the same whenever the file is read."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from schemas.keys import MAX_NAME_CHARACTERS
from schemas.roles import NO_ROLES, Role, role_of
from schemas.transcripts import InvalidTranscript, Transcript, decode
from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.speech import why_no_speech
from worker.forms.turn import Turn, UnreadableFile

_LOCAL: Final = re.compile(
    r"(?:(?:seg|segment|utt|utterance|turn|line|phrase|chunk|row|cue|id|item|text|s|u|t)[-_ .#]?\d{1,9}|\d{1,9})",
    re.IGNORECASE,
)
"""An id that counts within a file: a number, with a word at most that says what is counted."""

_AUDIO: Final = {".wav", ".mp3", ".ogg", ".opus", ".flac", ".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr", ".gsm"}
_COMMON: Final = {
    "asroutput",
    "audio",
    "calls",
    "data",
    "export",
    "out",
    "output",
    "recording",
    "result",
    "results",
    "segments",
    "transcript",
    "transcription",
}
"""Names of files that many folders hold: theirs is put before."""


class Message(NamedTuple):
    """What a form makes of one turn or line.

    Attributes:
        place: where it stands in the file.
        value: JSON, as the worker reads it.
        transcript: what the worker will read; None where it will find none.
    """

    place: str
    value: bytes
    transcript: Transcript | None


class Form(Protocol):
    """A form of JSON, of lines, or our own."""

    @property
    def name(self) -> str:
        """Name as `--format` takes it."""

    def turns(self, source: Source) -> Iterator[tuple[str, int | None, Turn]]:
        """Yield turns with their places, and the number of each one's call."""


class Naming:
    """Names what a file's turns leave unnamed.

    Args:
        call: session of the turns of a file that is one call.
        mark: begins the ids of lines that are no call, so that the file can be published again and doubles nothing;
            None leaves them without ids.
        session_of_lines: session of lines that are no call and name none.
        warn: called once for each kind of thing that an operator should know.
        channel_roles: roles of speakers by channel, of what names no role.
    """

    def __init__(
        self,
        call: str,
        mark: str | None,
        session_of_lines: str | None = None,
        warn: Callable[[str], None] = lambda _: None,
        channel_roles: Mapping[str, Role] = NO_ROLES,
    ) -> None:
        self.channel_roles = channel_roles
        self.session_of_lines = session_of_lines
        self._call = call
        self._mark = mark
        self._warn = warn
        self._warned = False
        self._segments: Counter[str] = Counter()
        self._rows = 0

    def named(self, turn: Turn, number: int | None) -> dict[str, Any]:
        """Return the fields of the turn's message.

        Args:
            turn: what was said.
            number: of its call in the file, from 0; None where it is of no call.
        """
        session = turn.session or self._session_of(number)
        segment = turn.segment
        if number is not None and session and segment is None:
            segment = self._segments[session]
            self._segments[session] += 1
        name = self.whole_id(turn.id, session) if turn.id else None
        if name is None:
            name = f"{session}-{segment}" if number is not None else self.row_id()
        fields = {
            "id": name and fit(name),
            "text": turn.text.strip() if number is None else " ".join(turn.text.split()),
            "source": turn.source,
            "session_id": session and fit(session),
            "speaker": turn.speaker and fit(turn.speaker),
            "role": turn.role,
            "segment": segment,
            "language": turn.language,
            "spoken_at": turn.spoken_at,
            "asr_confidence": None if turn.confidence is None else round(turn.confidence, 6),
            "attributes": attributes_of(turn),
        }
        return {field: value for field, value in fields.items() if value is not None}

    def _session_of(self, number: int | None) -> str | None:
        if number is None:
            return self.session_of_lines
        return f"{self._call}-{number + 1}" if number else self._call

    def whole_id(self, name: str, session: str | None) -> str:
        """Return an id that no other file uses: one that only counts has its session's or the file's name before it."""
        if not _LOCAL.fullmatch(name):
            return name
        whole = f"{session or self._call}-{name}"
        if not self._warned:
            self._warned = True
            self._warn(
                f"ids such as {name} are unique within a file alone, so each has its session or the file's name before "
                f"it: {fit(whole)}"
            )
        return whole

    def role_by_channel(self, transcript: Transcript) -> Role | None:
        """Return the role that only the transcript's channel tells; None where something else does, or nothing."""
        return None if role_of(transcript, NO_ROLES) else role_of(transcript, self.channel_roles)

    def row_id(self) -> str | None:
        """Return the id of the next line that has none; None where lines are to have none."""
        self._rows += 1
        return None if self._mark is None else f"{self._mark}-{self._rows}"


def attributes_of(turn: Turn) -> dict[str, str | float] | None:
    """Return what a turn's message keeps as attributes: channel, agent and start, in seconds; None without any."""
    start = None if turn.start is None else round(turn.start, 3)
    known = {"channel": turn.channel, "agent": turn.agent, "start": start}
    return {name: value for name, value in known.items() if value is not None} or None


def messages_of(form: Form, source: Source, naming: Naming) -> Iterator[Message]:
    """Yield the messages of a file; turns of a call in which nothing was said are left out.

    Raises:
        UnreadableFile: something in it is no transcript, or no speech.
    """
    for place, number, turn in form.turns(source):
        if number is not None and not turn.text.strip():
            continue
        if isinstance(form, LineForm) and not form.checked and (why := why_no_speech(turn.text)):
            raise UnreadableFile(f"{source.name}, {place}: a text is no speech: {why}. Is the file damaged?")
        try:
            fields = naming.named(turn, number)
            value = msgspec.json.encode(fields)
            transcript = decode(value, timestamp_ms=0)
            if role := naming.role_by_channel(transcript):
                value = msgspec.json.encode(fields | {"role": role})
                transcript = decode(value, timestamp_ms=0)
            yield Message(place, value, transcript)
        except UnicodeEncodeError as error:
            raise UnreadableFile(
                f"{source.name}, {place}: half of a character (a lone surrogate). Is the file damaged?"
            ) from error
        except InvalidTranscript as error:
            raise UnreadableFile(f"{source.name}, {place}: it makes no transcript: {error}") from error


def call_of(file: Path) -> str:
    """Return the name of the call that a file holds: its own without endings, with its folder's where many have it."""
    path = Path(file.name)
    name = path.stem
    if Path(name).suffix.lower() in _AUDIO:
        name = Path(name).stem
    folder = file.resolve().parent.name
    return f"{folder}-{name}" if folder and (name.isdecimal() or name.lower() in _COMMON) else name


def fit(name: str) -> str:
    """Return a name of at most 128 characters: a longer one ends with a hash of all of it."""
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name[: MAX_NAME_CHARACTERS - 17]}-{digest}"

"""The file or the pipe that `publish` and `classify` read: its form, and the messages that it holds."""

import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from schemas.roles import NO_ROLES, Role
from schemas.transcripts import InvalidTranscript, decode
from worker.errors import ConfigurationError
from worker.forms.known import LINE_FORMS, Known, by_name, form_of, why_foreign
from worker.forms.naming import Message, Naming, call_of, messages_of
from worker.forms.own import OWN, OwnForm, is_message, is_object
from worker.forms.plain import PLAIN
from worker.forms.source import Source
from worker.forms.turn import UnreadableFile

_STDIN: Final = ("-", "/dev/stdin")
_NAMELESS: Final = ("/dev/stdin", "/dev/fd/", "/proc/")
"""Paths whose names say nothing of what comes from them."""


class TranscriptFile:
    """Transcripts in a file, or coming by a pipe.

    The form is decided for the whole. A file is read to its end by `check`, before anything is done with it. A pipe of
    JSON lines or of plain text is read as it comes, and cannot be checked; any other is kept in a temporary file first.

    Args:
        file: path; - is standard input.
        form: name of the form; None decides by the content.
        session: of the transcripts that name none; None takes the file's name.
        for_rows: the messages are to be stored. Those without an id get one of the file's content, so that a file that
            is published again doubles nothing, and what holds no transcript is left for the worker to refuse.

        warn: told what an operator should know, a line each.
        channel_roles: roles of speakers by channel, to be written into messages that name no role.

    Raises:
        ConfigurationError: the file cannot be opened.
        UnreadableFile: it has no form that is known.
    """

    def __init__(  # noqa: PLR0913 - what the operator can say of a file.
        self,
        file: str,
        *,
        form: str | None = None,
        session: str | None = None,
        for_rows: bool,
        warn: Callable[[str], None] = lambda _: None,
        channel_roles: Mapping[str, Role] = NO_ROLES,
    ) -> None:
        self._closing = ExitStack()
        self._strict = not for_rows
        self._session = session
        self._warn = warn
        self._channel_roles = channel_roles
        name = "standard input" if file in _STDIN else file
        path = Path("/dev/stdin" if file in _STDIN else file)
        wanted = by_name(form) if form else None
        try:
            stream = self._closing.enter_context(path.open("rb"))
            is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
            begun = [] if is_file else _first_lines(stream)
            flowing = None if is_file else _flowing(begun, wanted)
            if flowing:
                self._source = Source(name, lambda: cast(BinaryIO, _Pipe(begun, stream)))
                self.form: Known = flowing
                self._call, self._mark = session or f"stdin-{uuid.uuid4().hex[:8]}", None
                self.flows = True
                return
            held = path if is_file else self._kept(begun, stream)
            self._source = Source(name, lambda: held.open("rb"))
            with held.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()[:8]
        except OSError as error:
            raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
        self.form = wanted or form_of(self._source)
        named = is_file and not str(path.absolute()).startswith(_NAMELESS)
        self._call = session or (call_of(path) if named else f"stdin-{digest}")
        self._mark = f"{self._call}-{digest}" if for_rows else None
        self.flows = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def check(self) -> None:
        """Read the file to its end, and do nothing with it; a pipe that flows is left alone.

        Raises:
            UnreadableFile: a line of it cannot be read, or no message holds a transcript.
        """
        if self.flows:
            return
        bad: list[Message] = []
        doubled: list[str] = []
        sound = False
        seen: set[int] = set()
        for message in self._messages(self._warn):
            if message.transcript is None:
                bad.append(message)
                continue
            sound = True
            if name := message.transcript.id:
                key = hash((name, message.transcript.source))
                if key in seen:
                    doubled.append(message.place)
                seen.add(key)
        if bad and not sound:
            try:
                decode(bad[0].value, timestamp_ms=0)
            except InvalidTranscript as error:
                raise UnreadableFile(
                    f"{self._source.name}: no message holds a transcript; of {bad[0].place}: {error}"
                ) from error
        if bad:
            self._warn(
                f"{len(bad)} messages hold no transcript, the first at {bad[0].place}: the worker will refuse them"
            )
        if doubled:
            self._warn(f"{len(doubled)} messages have an earlier one's id, the first at {doubled[0]}: they replace it")

    def messages(self) -> Iterator[Message]:
        """Yield the messages, in order.

        Raises:
            UnreadableFile: a line cannot be read.
        """
        return self._messages(self._warn if self.flows else lambda _: None)

    def _messages(self, warn: Callable[[str], None]) -> Iterator[Message]:
        naming = Naming(self._call, self._mark, self._session, warn, self._channel_roles)
        if isinstance(self.form, OwnForm):
            return self.form.messages(self._source, naming, strict=self._strict)
        return messages_of(self.form, self._source, naming)

    def _kept(self, begun: list[bytes], stream: BinaryIO) -> Path:
        held = self._closing.enter_context(tempfile.NamedTemporaryFile(prefix="emotion-worker-"))  # noqa: SIM115 - the stack closes it.
        held.writelines(begun)
        shutil.copyfileobj(stream, held)
        held.flush()
        return Path(held.name)


class _Pipe:
    """What has been read of a pipe, then the pipe."""

    def __init__(self, begun: list[bytes], stream: BinaryIO) -> None:
        self._lines = chain(begun, stream)

    def __enter__(self) -> Iterator[bytes]:
        return self._lines

    def __exit__(self, *_: object) -> None:
        """Leave the pipe open: whoever opened it closes it."""


def _first_lines(stream: BinaryIO) -> list[bytes]:
    """Read a pipe up to its first line that is not blank."""
    begun = []
    for line in stream:
        begun.append(line)
        if line.strip():
            break
    return begun


def _flowing(begun: list[bytes], wanted: Known | None) -> Known | None:
    """Return the form of a pipe that can be read as it comes; None where more is needed to know it."""
    if wanted and wanted is not OWN:
        return wanted if wanted.name == PLAIN.name else None
    if why_foreign(b"".join(begun[:4])):
        return None
    try:
        line = b"".join(begun[-1:]).decode().removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        return None
    if wanted is OWN or is_message(line):
        # JSON that does not begin as a line is read as a whole.
        return OWN if is_object(line) else None
    # A number may be that of the first subtitle, and what is binary may be Parquet.
    may_be_json = line.startswith(("{", '["', "[[", "[{")) or line == "["
    if not line or may_be_json or line.isdecimal() or line.startswith("PAR1"):
        return None
    may_be_another = any(form.knows([line]) for form in LINE_FORMS)
    return None if may_be_another or not PLAIN.knows([line]) else PLAIN

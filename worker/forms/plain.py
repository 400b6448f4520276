"""Plain text: one utterance a line."""

from collections.abc import Iterator

from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.speech import why_no_plain_text
from worker.forms.turn import Turn, UnreadableFile


def _read(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, line in source.lines():
        if why := why_no_plain_text(line):
            raise UnreadableFile(
                f"{source.name}, line {number} is no plain text: {why}. `--format text` takes every line for speech"
            )
        yield f"line {number}", None, Turn(text=line)


def _read_all(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, line in source.lines():
        yield f"line {number}", None, Turn(text=line)


PLAIN = LineForm("text", lambda head: all(why_no_plain_text(line) is None for line in head), _read, checked=True)
TEXT_AS_IT_IS = LineForm("text", lambda _: False, _read_all, checked=True)
"""The same where `--format text` says so: every line is speech."""

"""A file as forms read it: as numbered lines of text, or as JSON documents."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from worker.forms.turn import UnreadableFile

_LARGEST_DOCUMENT: Final = 256 * 2**20
"""Bytes of JSON that is not written line by line: it is read whole."""

_BYTE_ORDER_MARK: Final = "\ufeff"
_CONTROL: Final = frozenset(map(chr, range(32))) - set("\t\f\v")
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")

_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")

_decoder: Final = json.JSONDecoder(parse_constant=lambda _: None)
"""NaN and infinity, which Python's recognizers write, are numbers that nobody knows."""


class Source:
    """A file, or what comes by a pipe.

    Args:
        name: as errors name it.
        open_: opens it, from its first byte; a pipe's can be called once.
    """

    def __init__(self, name: str, open_: Callable[[], BinaryIO]) -> None:
        self.name = name
        self._open = open_

    def opened(self) -> BinaryIO:
        """Open the file."""
        return self._open()

    def all_lines(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number from 1, without its end and any byte order mark.

        Raises:
            UnreadableFile: a line is not UTF-8, or holds what no text holds.
        """
        with self._open() as stream:
            for number, raw in enumerate(stream, 1):
                yield number, self._text(number, raw)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield each line that is not blank, as `all_lines`, without spaces around it."""
        for number, line in self.all_lines():
            if text := line.strip():
                yield number, text

    def _text(self, number: int, raw: bytes) -> str:
        if number == 1 and raw.startswith(_UTF_16_MARKS):
            raise UnreadableFile(f"{self.name} is UTF-16: save it in UTF-8, as by `iconv -f utf-16 -t utf-8`")
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{self.name}, line {number}: it is not UTF-8 (byte 0x{raw[error.start]:02x} at {error.start}). Save "
                "the file in UTF-8, as by `iconv -f cp1251 -t utf-8`"
            ) from error
        line = line.rstrip("\r\n").removeprefix(_BYTE_ORDER_MARK)
        if found := _CONTROL.intersection(line):
            raise UnreadableFile(
                f"{self.name}, line {number}: it holds a control character (0x{ord(min(found)):02x}), so it is binary "
                "or damaged. Save it as text in UTF-8"
            )
        return line

    def documents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield JSON objects with their places: one a line, or one after the other; those of an array one by one.

        Raises:
            UnreadableFile: it is no JSON, or JSON that is no object.
        """
        for place, value in self._values():
            entries = value if isinstance(value, list) else [value]
            for number, entry in enumerate(entries, 1):
                where = place if entries is not value else f"{place}, entry {number}"
                if not isinstance(entry, dict):
                    raise UnreadableFile(f"{self.name}, {where}: this is JSON, but no object of a recognizer")
                yield where, entry

    def _values(self) -> Iterator[tuple[str, Any]]:
        """Yield JSON values with their places: one a line, where the first line is one; else one after the other."""
        lines = self.lines()
        first = next(lines, None)
        if first is None:
            return
        number, line = first
        try:
            value = _decode(line)
        except ValueError:
            yield from self._spread()
            return
        yield f"line {number}", value
        for number, line in lines:
            try:
                yield f"line {number}", _decode(line)
            except ValueError as error:
                raise UnreadableFile(f"{self.name}, line {number}: it is no JSON: {_said(error)}") from error

    def _spread(self) -> Iterator[tuple[str, Any]]:
        with self._open() as stream:
            raw = stream.read(_LARGEST_DOCUMENT + 1)
        if len(raw) > _LARGEST_DOCUMENT:
            raise UnreadableFile(f"{self.name} is more than 256 MiB of JSON in one: write one object a line (jq -c)")
        text = "\n".join(self._text(number, line) for number, line in enumerate(raw.split(b"\n"), 1))
        counted, line = 0, 1
        at = _skip_space(text, 0)
        while at < len(text):
            line += text.count("\n", counted, at)
            counted = at
            place = f"line {line}"
            try:
                value, at = _decode_at(text, at)
            except (ValueError, RecursionError) as error:
                where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else place
                raise UnreadableFile(f"{self.name}, {where}: it is no JSON: {_said(error)}") from error
            yield place, value
            at = _skip_space(text, at)


def _decode(line: str) -> Any:
    """Decode one line.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value, end = _decode_at(line, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end < len(line):
        raise json.JSONDecodeError("Extra data", line, end)
    return value


def _decode_at(text: str, at: int) -> tuple[Any, int]:
    value, end = _decoder.raw_decode(text, at)
    if half := _HALF.search(text, at, end):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise json.JSONDecodeError("Half of a character is escaped", text, half.start()) from None
    return value, end


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} (column {error.colno}). Was the file cut off or edited?"
    return "it is nested too deeply, or a number in it is too long"


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at

"""Tables with a header: CSV with commas, semicolons or tabs, whisper.cpp's CSV, and Whisper's TSV.

The rows are those of a call where the header names places or speakers but no session, else each stands for itself.
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Final

import msgspec

from schemas.languages import tag_of
from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.turn import Label, Turn, UnreadableFile, share, speaker_name

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("text", "transcript", "transcription", "utterance", "phrase", "текст", "реплика", "фраза"),
    "id": ("id", "transcript_id", "utterance_id", "segment_id"),
    "session": ("session_id", "session", "call_id", "call", "conversation_id", "dialog_id", "звонок"),
    "speaker": ("speaker", "speaker_label", "participant", "спикер", "говорящий"),
    "channel": ("channel", "канал"),
    "role": ("role", "speaker_role", "роль"),
    "agent": ("agent", "оператор"),
    "segment": ("segment", "turn", "position"),
    "source": ("source", "queue"),
    "language": ("language", "lang", "locale"),
    "spoken_at": ("spoken_at", "timestamp", "datetime"),
    "confidence": ("asr_confidence", "confidence"),
    "start": ("start", "start_time", "begin"),
}
"""What each field may be called, the schema's own name first."""

_FIELD_OF: Final = {name: field for field, names in _NAMES.items() for name in names}
_OF_A_CALL: Final = {"speaker", "channel", "role", "segment", "start"}
_QUOTED_BY_TABS: Final = re.compile(r'(?:"(?:[^"]|"")*"|(?!")[^\t]*)(?:\t(?:"(?:[^"]|"")*"|(?!")[^\t]*))*')
"""A line of cells, each of which closes the quotation that it opens."""

_WHISPERS: Final = ["start", "end", "text"]


class Row(msgspec.Struct):
    """What is read of a row; an empty cell is nothing."""

    text: str = ""
    id: str | int | None = None
    session: str | int | None = None
    speaker: Label = None
    channel: Label = None
    role: str | None = None
    agent: Label = None
    segment: int | None = None
    source: str | int | None = None
    language: str | None = None
    spoken_at: str | float | None = None
    confidence: float | None = None
    start: Any = None


def fields_of(columns: Iterable[str], where: str) -> dict[str, str]:
    """Return which field each column holds; columns that have no meaning here are left out.

    Raises:
        UnreadableFile: no column holds the text, or two hold one field.
    """
    fields: dict[str, str] = {}
    for column in columns:
        if field := _FIELD_OF.get(column.strip().lower()):
            if field in fields.values():
                raise UnreadableFile(
                    f"{where}: two columns may be `{_NAMES[field][0]}`. Rename or leave out one of them"
                )
            fields[column] = field
    if "text" not in fields.values():
        raise UnreadableFile(f"{where}: no column holds the text. Name it `text` in the first line")
    return fields


def turns_of_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]], fields: Mapping[str, str], name: str
) -> Iterator[tuple[str, int | None, Turn]]:
    """Yield a turn for each row.

    Args:
        rows: cells by column, and where each row stands.
        fields: which field each column holds.
        name: the file.

    Raises:
        UnreadableFile: a cell is none of its field.
    """
    held = set(fields.values())
    call = 0 if "session" not in held and held & _OF_A_CALL else None
    for place, cells in rows:
        given = {field: _plain(cells[column]) for column, field in fields.items() if cells[column] not in (None, "")}
        try:
            row = msgspec.convert(given, Row, strict=False)
        except msgspec.ValidationError as error:
            raise UnreadableFile(f"{name}, {place}: {error}") from error
        turn = Turn(
            text=row.text,
            id=_as_text(row.id),
            session=_as_text(row.session),
            speaker=speaker_name(row.speaker, row.channel),
            channel=row.channel,
            role=row.role,
            agent=_as_text(row.agent),
            segment=row.segment,
            source=_as_text(row.source),
            language=tag_of(row.language),
            spoken_at=_as_text(row.spoken_at),
            confidence=share(row.confidence),
        )
        yield place, call, turn


def _plain(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, date) else cell


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


def _delimiter(header: str) -> str:
    # Spreadsheets of a Russian locale write semicolons.
    return max(",;\t", key=header.count)


def _columns(header: str) -> list[str]:
    # A cell of megabytes is one long text, which is refused as such.
    csv.field_size_limit(sys.maxsize)
    cells = next(csv.reader([header], delimiter=_delimiter(header)), [])
    return [cell.strip().lower() for cell in cells]


def _read(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    lines = source.all_lines()
    header = next((line for _, line in lines if line.strip()), "")
    columns = _columns(header)
    fields = fields_of(columns, f"{source.name}, line 1")
    if len(set(columns)) != len(columns):
        raise UnreadableFile(f"{source.name}, line 1: two columns have one name")
    delimiter = _delimiter(header)
    # Whisper's TSV knows no quotation, and others may not.
    plain = delimiter == "\t" and (
        columns == _WHISPERS or not all(_QUOTED_BY_TABS.fullmatch(line) for _, line in source.all_lines())
    )
    reader = csv.reader(
        (f"{line}\n" for _, line in lines),
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
    )
    yield from turns_of_rows(_rows(source, reader, columns, delimiter), fields, source.name)


def _rows(
    source: Source, reader: "Iterator[list[str]]", columns: list[str], delimiter: str
) -> Iterator[tuple[str, dict[str, str]]]:
    number = 1
    # Speech has a space after a comma, or a number's digits around it.
    begins_cell = re.compile(rf"(?<!\d){delimiter}(?![ \t])|{delimiter}(?![ \t\d])")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnreadableFile(f"{source.name}, row {number}: {error}. Is a quotation mark missing?") from error
        number += 1
        if not cells:
            continue
        if len(cells) != len(columns):
            raise UnreadableFile(
                f"{source.name}, row {number}: it has {len(cells)} cells, and the header {len(columns)}. A text that "
                "holds the delimiter belongs in quotes"
            )
        if any("\n" in cell and begins_cell.search(cell) for cell in cells):
            raise UnreadableFile(
                f"{source.name}, row {number}: a cell goes over several rows: a quotation mark is missing or stands in "
                "a text. Write a mark within a cell as two, or save texts with line breaks as JSON"
            )
        row = dict(zip(columns, cells, strict=True))
        for name in ("start", "end"):
            if re.fullmatch(r"\s*", row.get(name, "0")) is None and not _is_time(row.get(name, "0")):
                raise UnreadableFile(f"{source.name}, row {number}: no time stands in the column `{name}`")
        yield f"row {number}", row


def _is_time(cell: str) -> bool:
    return re.fullmatch(r"\s*(\d{1,3}:)?(\d{1,3}:)?\d+([.,]\d+)?s?\s*", cell) is not None


def _knows(head: list[str]) -> bool:
    columns = _columns(head[0])
    if len(columns) == 1:
        return columns[0] == "text"
    if not any(_FIELD_OF.get(column) == "text" for column in columns):
        return False
    known = sum(column in _FIELD_OF or column == "end" for column in columns)
    rows = [head[0], *head[1:2]]
    return known > 1 or len({row.count(_delimiter(head[0])) for row in rows}) == 1


CSV = LineForm("csv", _knows, _read)

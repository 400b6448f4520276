"""Rows of a file: answers of `classify`, or transcripts, which are classified first; DuckDB answers like Postgres."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import structlog

from registry.errors import first_line
from schemas.emotions import EMOTIONS
from worker.classify import Answer, classify_messages
from worker.forms.files import TranscriptFile
from worker.forms.turn import UnreadableFile
from worker.report.rows import Row
from worker.settings import Settings

log = structlog.get_logger("worker")

_AT_ONCE: Final = 5_000
_PARAMETER: Final = re.compile(r"(?<!:):(\w+)")

_FIELDS: Final = {
    "id": "VARCHAR",
    "source": "VARCHAR",
    "session_id": "VARCHAR",
    "message_id": "VARCHAR",
    "part": "INTEGER",
    "speaker": "VARCHAR",
    "role": "VARCHAR",
    "segment": "INTEGER",
    "text": "VARCHAR",
    "spoken_at": "TIMESTAMPTZ",
    "attributes": "JSON",
    "emotions": "VARCHAR[]",
    "scores": f"STRUCT({', '.join(f'{emotion} REAL' for emotion in EMOTIONS)})",
    "not_scored": "VARCHAR",
    "model_version": "VARCHAR",
    "convention": "VARCHAR",
}
"""Fields of `worker.classify.Answer`, with DuckDB's types."""

_TABLE: Final = f"""
    CREATE TABLE emotion_results AS
    SELECT coalesce(id, lpad(CAST(row_number() OVER () AS VARCHAR), 9, '0')) AS transcript_id,
           coalesce(source, $name) AS source, session_id, message_id, part, speaker, role, segment, text, spoken_at,
           attributes, emotions, {", ".join(f"scores.{emotion} AS {emotion}" for emotion in EMOTIONS)}, not_scored,
           model_version, coalesce(convention, 'public') AS convention
    FROM read_json($path, format = 'newline_delimited', columns = $fields)
"""  # noqa: S608 - made of constants.

_answer: Final = msgspec.json.Decoder(Answer)


class FileRows:
    """Rows of a file, in a DuckDB of their own in memory.

    Args:
        origin: name of the file.
        connection: connection to a DuckDB that holds `emotion_results`.
    """

    def __init__(self, origin: str, connection: duckdb.DuckDBPyConnection) -> None:
        self.origin = origin
        self._connection = connection

    def ask(self, question: str, **values: Any) -> Iterator[Row]:
        """Yield the rows of an answer."""
        answer = self._connection.cursor().execute(_PARAMETER.sub(r"$\1", question), values)
        names = [column[0] for column in answer.description or ()]
        while rows := answer.fetchmany(_AT_ONCE):
            yield from (dict(zip(names, row, strict=True)) for row in rows)


@contextmanager
def open_file(file: str, settings: Settings, form: str | None = None) -> Iterator[FileRows]:
    """Open a file of answers or of transcripts.

    Args:
        file: path; - is standard input.
        settings: model that classifies transcripts.
        form: name of the transcripts' form; None decides by the content.

    Raises:
        UnreadableFile: it holds neither.
        ConfigurationError: it cannot be opened, or the model cannot be loaded.
    """
    if form is None and _holds_answers(file):
        with _table(Path(file), file) as rows:
            yield rows
        return
    with (
        TranscriptFile(file, form=form, for_rows=True, warn=log.warning) as transcripts,
        tempfile.NamedTemporaryFile(prefix="emotion-worker-", suffix=".jsonl") as answers,
    ):
        # Lines that hold no transcript are told of, and left out: a first look need not be refused for them.
        transcripts.check()
        _write(classify_messages(transcripts.messages(), settings), answers)
        with _table(Path(answers.name), file) as rows:
            yield rows


def _holds_answers(file: str) -> bool:
    """Whether a file is one that `classify` wrote, by its first line; a pipe is not, since it can be read once."""
    path = Path(file)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = next((line for line in stream if line.strip()), b"")
    try:
        _answer.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _write(answers: Iterable[Answer], to: Any) -> None:
    for answer in answers:
        to.write(msgspec.json.encode(answer) + b"\n")
    to.flush()


@contextmanager
def _table(path: Path, name: str) -> Iterator[FileRows]:
    values: Mapping[str, Any] = {"path": str(path), "name": Path(name).stem, "fields": _FIELDS}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            connection.execute(_TABLE, values)
        except duckdb.Error as error:
            raise UnreadableFile(
                f"{name} is not what `emotion-worker classify` writes ({first_line(error)}). Write it again, or give "
                "the transcripts themselves"
            ) from error
        yield FileRows(Path(name).name, connection)

"""Rows of a file: answers of `classify`, or transcripts, which are classified first; DuckDB answers like Postgres."""

import glob
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import structlog
from msgspec import Struct

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

_STRANGE: Final = f"""
    SELECT transcript_id FROM emotion_results
    WHERE emotions IS NULL OR model_version IS NULL OR NOT list_has_all($emotions, emotions)
        OR ({" OR ".join(f"{emotion} IS NULL" for emotion in EMOTIONS)}) AND coalesce({", ".join(EMOTIONS)}) IS NOT NULL
        OR spoken_at NOT BETWEEN '0001-01-08' AND '9999-12-24'
    LIMIT 1
"""  # noqa: S608 - made of constants.
"""Asks for a row that no answer of `classify` makes; Python's years end a week after the last moment."""


class _Answer(Struct):
    """What tells an answer of `classify` from a transcript."""

    text: str
    emotions: list[str]
    scores: dict[str, float] | None
    model_version: str


_answer: Final = msgspec.json.Decoder(_Answer)


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
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            first = next((line for line in stream if line.strip()), b"")
        _answer.decode(first)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # Whoever reads transcripts says what is wrong.
        return False
    return True


def _write(answers: Iterable[Answer], to: Any) -> None:
    for answer in answers:
        to.write(msgspec.json.encode(answer) + b"\n")
    to.flush()


@contextmanager
def _table(path: Path, name: str) -> Iterator[FileRows]:
    # DuckDB would read each file that a name with *, ? or [ in it fits.
    values: Mapping[str, Any] = {"path": glob.escape(str(path)), "name": Path(name).stem, "fields": _FIELDS}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            connection.execute(_TABLE, values)
            strange = connection.execute(_STRANGE, {"emotions": EMOTIONS}).fetchone()
        except duckdb.Error as error:
            raise _unreadable(name, first_line(error)) from error
        if strange:
            raise _unreadable(name, f"{strange[0]} is no answer of it, or tells an impossible time")
        yield FileRows(Path(name).name, connection)


def _unreadable(name: str, why: str) -> UnreadableFile:
    return UnreadableFile(
        f"{name} is not what `emotion-worker classify` writes ({why}). Write it again, or give the transcripts "
        "themselves"
    )

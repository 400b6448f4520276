"""Parquet, by pyarrow, which the worker itself does not need."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.tables import fields_of, turns_of_rows
from worker.forms.turn import Turn, UnreadableFile


def _read(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import.
        from pyarrow import parquet  # noqa: PLC0415 - the same.
    except ModuleNotFoundError:
        raise UnreadableFile(
            f"{source.name} is Parquet, which needs pyarrow: pip install 'asr-emotions[parquet]'"
        ) from None
    try:
        with source.opened() as stream, parquet.ParquetFile(stream) as file:
            fields = fields_of(file.schema_arrow.names, source.name)
            yield from turns_of_rows(_rows(file, list(fields)), fields, source.name)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UnreadableFile(f"{source.name} is a damaged Parquet file: {str(error).splitlines()[0]}") from error


def _rows(file: Any, columns: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    number = 0
    for batch in file.iter_batches(columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield f"row {number}", row


PARQUET = LineForm("parquet", lambda _: False, _read, checked=True)

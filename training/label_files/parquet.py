"""Parquet, by pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import UnusableData
from training.label_files.rows import RawTable


def read_parquet(file: Path) -> RawTable:
    """Read a file of Parquet.

    Raises:
        UnusableData: it is none, or it is damaged.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import.
        from pyarrow import parquet  # noqa: PLC0415 - the same.
    except ModuleNotFoundError:
        raise UnusableData(f"{file} is Parquet, which needs pyarrow: pip install 'asr-emotions[parquet]'") from None
    try:
        with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
            columns = list(opened.schema_arrow.names)
            # What is damaged shows before anything of the file is used.
            rows = list(_rows(opened))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is damaged"
        raise UnusableData(f"{file} cannot be read as Parquet: {reason}. Write it again") from error
    return RawTable(columns, rows)


def _rows(opened: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    at = 0
    for batch in opened.iter_batches():
        for row in batch.to_pylist():
            at += 1
            yield f"row {at}", {name: _plain(cell) for name, cell in row.items()}


def _plain(cell: Any) -> Any:
    """Return a moment as text; pandas writes what is missing as a number that is none."""
    if isinstance(cell, float) and cell != cell:  # noqa: PLR0124 - only NaN is not itself.
        return None
    return cell.isoformat() if hasattr(cell, "isoformat") else cell

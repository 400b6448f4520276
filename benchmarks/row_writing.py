"""How many rows a second one connection writes to the embedded Postgres, and in which way.

python benchmarks/row_writing.py [--rows 65536]
python benchmarks/row_writing.py --against 0010 [--rows 65536]

Each way writes rows that are new, and then the same rows again, in chunks of several sizes, with a commit a chunk.
The worker's own way copies new rows straight into the table. The others put a chunk into a temporary table of the
session, as the worker did before, or of the transaction, or send it as arrays, and merge it in any case.

With a revision of the tables to compare with, the worker's way alone writes each chunk to tables of both, in turn.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Any, Final, cast

import psycopg
from harness import texts
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine

from schemas.transcripts import Transcript
from worker.demo.services import embedded_postgres
from worker.records import Utterance
from worker.storage import results as own
from worker.storage.database import connect
from worker.storage.migrate import migrate, migrate_to
from worker.storage.results import RowWriter

SIZES: Final = (256, 1_024, 4_096)
ROUNDS: Final = 3

Writing = Callable[[Connection, list[Utterance]], object]

MERGE: Final = f"""
    INSERT INTO emotion_results ({own.NAMES}) SELECT {own.NAMES} FROM {{}} ORDER BY transcript_id, source
    ON CONFLICT (transcript_id, source) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in own.COLUMNS if name not in own.KEY)}, processed_at = now()
"""  # noqa: S608 - made of constants.


class Record:
    """What a row keeps of a record."""

    topic, partition = "transcripts", 0

    def __init__(self, offset: int) -> None:
        self.offset = offset


def utterances(count: int) -> list[Utterance]:
    """Return utterances as the classifier leaves them, half of them with an id that looks like a random one."""
    now = datetime.now(UTC)
    made = []
    for at, line in enumerate(islice(texts(), count)):
        transcript = Transcript(
            text=line, source="benchmark", session_id=f"call-{at // 20}", speaker="customer", segment=at, spoken_at=now
        )
        name = f"{at * 2654435761 % 2**32:08x}" if at % 2 else f"message-{at}"
        made.append(Utterance(Record(at), transcript, name, line, at, ["joy"], [0.1] * 7))
    return made


def by_table(kept: str) -> Writing:
    """Return a way through a temporary table that is kept, or not, beyond the transaction."""
    writer, name = RowWriter("benchmark", {}), f"incoming_{kept.partition(' ')[0].lower()}"

    def write(connection: Connection, chunk: list[Utterance]) -> None:
        create = f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ON COMMIT {kept} AS SELECT {own.NAMES}"
        with connection.begin_nested():
            connection.exec_driver_sql(f"{create} FROM emotion_results WITH NO DATA")
            own.copy_rows(connection, name, [writer.row(item, "benchmark", "public") for item in chunk])
            connection.exec_driver_sql(MERGE.format(name))

    return write


def by_arrays() -> Writing:
    """Return a way by one array a column."""
    writer = RowWriter("benchmark", {})
    marks = ", ".join(f"%b::{kind.removesuffix('[]')}[]" for kind in own.TYPES)
    names = own.NAMES
    source = f"(SELECT {names.replace('emotions', 'emotions::text[]')} FROM unnest({marks}) AS sent ({names})) AS new"  # noqa: S608 - made of constants.

    def write(connection: Connection, chunk: list[Utterance]) -> None:
        found = (writer.row(item, "benchmark", "public") for item in chunk)
        columns = [list(column) for column in zip(*found, strict=True)]
        at = list(own.COLUMNS).index("emotions")
        columns[at] = [f"{{{','.join(emotions)}}}" for emotions in columns[at]]
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with connection.begin_nested():
            driver.execute(MERGE.format(source), columns)

    return write


def own_way() -> Writing:
    """Return the worker's way."""
    writer = RowWriter("benchmark", {})
    return lambda connection, chunk: writer.write(connection, chunk, "benchmark", "public")


WAYS: Final[dict[str, Callable[[], Writing]]] = {
    "the worker's: straight into the table": own_way,
    "temporary table of the session": lambda: by_table("DELETE ROWS"),
    "temporary table of the transaction": lambda: by_table("DROP"),
    "arrays": by_arrays,
}


def main() -> None:
    """Measure all ways and print a table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--against", metavar="REVISION", help="compare with the tables of this revision, such as 0010")
    given = parser.parse_args()
    made = utterances(given.rows)
    if given.against:
        compare(made, given.against)
        return
    best: dict[tuple[str, int], list[float]] = {}
    with embedded_postgres() as url:
        migrate(url)
        engine = connect(url, "benchmark")
        for _ in range(ROUNDS):
            for size in SIZES:
                for name, way in WAYS.items():
                    with engine.begin() as connection:
                        connection.exec_driver_sql("TRUNCATE emotion_results")
                    write = way()
                    rates = [rate(engine.connect, write, made, size) for _ in range(2)]
                    known = best.setdefault((name, size), rates)
                    best[name, size] = list(map(max, known, rates))
        engine.dispose()
    table = Table("way", *(f"{kind}, chunks of {size:,}" for size in SIZES for kind in ("new", "known")))
    for name in WAYS:
        table.add_row(name, *(f"{value:,.0f}" for size in SIZES for value in best[name, size]))
    Console(width=160).print(table)


def rate(open_connection: Callable[[], Connection], write: Writing, made: list[Utterance], size: int) -> float:
    """Write all rows and return how many a second."""
    start = time.perf_counter()
    with open_connection() as connection:
        for at in range(0, len(made), size):
            with connection.begin():
                write(connection, made[at : at + size])
    return len(made) / (time.perf_counter() - start)


def compare(made: list[Utterance], revision: str) -> None:
    """Write chunks into the newest tables and into older ones, in turn; print the ratio of the median times."""
    with embedded_postgres() as url:
        engine = connect(url, "benchmark")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CREATE DATABASE older")
        migrate(url)
        older_url = engine.url.set(database="older").render_as_string()
        migrate_to(older_url, revision)
        engines = [engine, connect(older_url, "benchmark")]
        for size in SIZES:
            for kind in ("new", "known"):
                writes = [own_way(), own_way()]
                seconds: list[list[float]] = [[], []]
                for start in range(0, len(made), size):
                    for number in (0, 1) if start // size % 2 else (1, 0):
                        seconds[number].append(duration(engines[number], writes[number], made[start : start + size]))
                ratio = median(seconds[0]) / median(seconds[1])
                print(f"{kind} rows, chunks of {size:,}: {ratio:.2f} of the time that revision {revision} takes")
            for each in engines:
                with each.begin() as connection:
                    connection.exec_driver_sql("TRUNCATE emotion_results")
        for each in engines:
            each.dispose()


def duration(engine: Engine, write: Writing, chunk: list[Utterance]) -> float:
    """Write a chunk and return the seconds that its transaction took."""
    with engine.connect() as connection:
        begun = time.perf_counter()
        with connection.begin():
            write(connection, chunk)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()

"""What the documented queries cost on a big table, for one day of it, and whether any reads the table from end to end.

PYTHONPATH=tests/support python benchmarks/big_table.py [--rows 20000000] [--days 100] [--rescore 400000]

The queries are those of the README, the runbook, the examples and the dashboards. Then come a page of what
`emotion-worker rescore` asks for, and the growth while a stand-in for a model scores rows again. The server is the
embedded one with its default settings, but for the filling.
"""

import threading
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from documented_queries import documented_queries
from fakes import StubClassifier
from many_rows import fill
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from services import Postgres, run_postgres
from sqlalchemy import Engine, text

from schemas.emotions import EMOTIONS
from worker.storage.database import connect
from worker.storage.migrate import migrate, migrate_to
from worker.storage.scores import RescoreStore
from worker.swap.rescore import Rescoring

_TRIES: Final = 5
_BATCH: Final = 256
_BEFORE: Final = "0010"
"""The revision before the indexes and the storage settings."""

_FOR_FILLING: Final = (
    "wal_level = minimal",
    "max_wal_senders = 0",
    "fsync = off",
    "max_wal_size = '6GB'",
    "maintenance_work_mem = '512MB'",
)


class Answer(NamedTuple):
    """The fastest of a few tries."""

    cpu_ms: float
    """Time on a core, which other work of the machine hardly changes."""
    ms: float
    scans: list[str]
    """How the results were read."""


class NeutralClassifier(StubClassifier):
    """Finds every text neutral, as most are: 60 % of the rows keep their set of emotions."""

    version = "again"
    convention = "calls"

    def __init__(self, stop: threading.Event, rows: int) -> None:
        super().__init__()
        self._stop = stop
        self._rows = rows

    def classify(self, texts: list[str]) -> NDArray[np.float32]:
        """Return the scores of a neutral text for each, and end the run after enough rows."""
        self._rows -= len(texts)
        if self._rows <= 0:
            self._stop.set()
        return np.tile(np.array([0.1] * (len(EMOTIONS) - 1) + [0.9], np.float32), (len(texts), 1))


def scans(plan: Any) -> list[str]:
    """Return how a plan reads the results, such as "Index Scan ix_emotion_results_spoken_at_order"."""
    found = [inner for child in plan.get("Plans", ()) for inner in scans(child)]
    if plan.get("Relation Name") == "emotion_results" or "Index Name" in plan:
        index = plan.get("Index Name", "").removeprefix("ix_emotion_results_")
        found.append(f"{plan['Node Type']} {index}".strip())
    return found


def measure(engine: Engine, statement: str) -> Answer:
    """Return what a statement costs on one core; what it changes is rolled back."""
    tries = []
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}").scalar_one()
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        for _ in range(_TRIES):
            savepoint = connection.begin_nested()
            begun, used_ms = time.perf_counter(), core_ms(process)
            connection.exec_driver_sql(statement)
            tries.append((core_ms(process) - used_ms, 1_000 * (time.perf_counter() - begun)))
            savepoint.rollback()
        connection.rollback()
    return Answer(*map(min, zip(*tries, strict=True)), scans(plan["Plan"]))


def core_ms(process: int) -> float:
    """Return the milliseconds that a process has spent on a core; source: Documentation/scheduler/sched-stats.rst."""
    return int(Path(f"/proc/{process}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e6


def measure_documents(engine: Engine) -> Table:
    """Ask every documented query for one day in the middle of the table."""
    table = Table("query", "ms of a core", "ms", "how the results are read")
    with engine.connect() as connection:
        since = connection.execute(
            text("SELECT min(spoken_at) + (max(spoken_at) - min(spoken_at)) / 2 FROM emotion_results")
        ).scalar_one()
    for query in documented_queries():
        answer = measure(engine, query.for_day(since))
        table.add_row(query.place, f"{answer.cpu_ms:,.0f}", f"{answer.ms:,.0f}", ", ".join(sorted(set(answer.scans))))
    return table


def measure_rescore(engine: Engine, rows: int) -> None:
    """Score the oldest rows again, and print what a page costs and by how much the table and its indexes grew."""
    before, stop = sizes(engine), threading.Event()
    classifier = NeutralClassifier(stop, rows)
    store = RescoreStore(engine, datetime(2000, 1, 1, tzinfo=UTC), classifier, datetime.now(UTC))
    begun = time.perf_counter()
    first = store.page(None)
    store.page(first and first.last)
    print(f"two pages of rescore: {1_000 * (time.perf_counter() - begun):,.0f} ms")
    begun = time.perf_counter()
    done = Rescoring(store, classifier, batch=_BATCH, rate=1e6, stop=stop).run().rows
    seconds = time.perf_counter() - begun
    table, indexes, table_now, indexes_now = (size / 1e6 for size in (*before, *sizes(engine)))
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        query = "SELECT n_tup_hot_upd::float / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'emotion_results'"
        within = connection.execute(text(query)).scalar_one()
    print(
        f"{done:,} rows scored again, {done / seconds:,.0f} a second; no index was written for {within:.0%} of them; "
        f"the table grew from {table:,.1f} to {table_now:,.1f} MB, "
        f"its indexes from {indexes:,.1f} to {indexes_now:,.1f} MB"
    )


def sizes(engine: Engine) -> tuple[int, int]:
    """Return the bytes of the table and of its indexes."""
    with engine.connect() as connection:
        query = text("SELECT pg_table_size('emotion_results'), pg_indexes_size('emotion_results')")
        table, indexes = connection.execute(query).one()
        return table, indexes


def main() -> None:
    """Fill a table, migrate it, and measure."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--days", type=int, default=100, help="days over which the rows were said")
    parser.add_argument("--rescore", type=int, default=400_000, help="rows to score again")
    given = parser.parse_args()
    with run_postgres() as server:
        for setting in _FOR_FILLING:
            server.execute(f"ALTER SYSTEM SET {setting}")
        restart(server)
        migrate_to(server.url(), _BEFORE)
        engine = connect(server.url(), "benchmark")
        begun = time.perf_counter()
        fill(engine, given.rows, given.days)
        table, indexes = sizes(engine)
        took = time.perf_counter() - begun
        print(f"{given.rows:,} rows filled in {took:,.0f} s: {table / 1e9:.1f} GB, indexes {indexes / 1e9:.1f} GB")
        server.execute("ALTER SYSTEM RESET ALL")
        restart(server)
        begun = time.perf_counter()
        migrate(server.url())
        print(f"migrated from {_BEFORE} in {time.perf_counter() - begun:,.0f} s")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE emotion_results")
        Console(width=160).print(measure_documents(engine))
        measure_rescore(engine, given.rescore)
        engine.dispose()


def restart(server: Postgres) -> None:
    """Start the server again, for settings that take that."""
    server.stop()
    server.start()


if __name__ == "__main__":
    main()

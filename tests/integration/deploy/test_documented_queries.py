"""Each statement on results that a document or a dashboard shows reads one day by an index, not the whole table."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from documented_queries import DocumentedQuery, documented_queries
from many_rows import fill
from services import Postgres
from sqlalchemy import Connection, Engine, create_engine, select

from schemas.tables import emotion_results

ROWS, DAYS = 64_000, 32
PLACES = {
    "README.md",
    "docs/runbook.md",
    "docs/transcripts.md",
    "examples/queries.sql: Which calls turn around?",
    "emotions.json: Rows by model",
}


@pytest.fixture(scope="module")
def filled(session_postgres: Postgres, migrated_database: str) -> Iterator[Engine]:
    """A database with rows of many days."""
    name = session_postgres.create_database(template=migrated_database)
    engine = create_engine(session_postgres.url(name))
    fill(engine, ROWS, DAYS)
    yield engine
    engine.dispose()
    session_postgres.drop_database(name)


def day_of(connection: Connection) -> datetime:
    """The beginning of a day in the middle."""
    place = select(emotion_results.c.spoken_at).where(emotion_results.c.kafka_offset == ROWS // 2)
    found: datetime = connection.execute(place).scalar_one()
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def reads(connection: Connection, statement: str) -> tuple[int, list[str]]:
    """Return how often a statement reads all results one after the other, and the indexes on them that it uses."""
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement.replace('%', '%%')}").scalar_one()
    found = list(nodes(explained[0]["Plan"]))
    scans = sum(node["Node Type"] == "Seq Scan" and node["Relation Name"] == emotion_results.name for node in found)
    return scans, [node["Index Name"] for node in found if "emotion_results" in node.get("Index Name", "")]


def test_the_statements_are_found_where_they_stand() -> None:
    assert {query.place for query in documented_queries()} >= PLACES


@pytest.mark.parametrize("query", documented_queries(), ids=lambda query: f"{query.place}: {query.statement[:40]}")
def test_a_statement_reads_the_results_of_its_day_by_an_index(query: DocumentedQuery, filled: Engine) -> None:
    with filled.connect() as connection:
        scans, indexes = reads(connection, query.for_day(day_of(connection)))
    assert scans == 0, "bound it by spoken_at, processed_at or hour, or take session_emotions_between"
    assert indexes


def test_sessions_of_a_time_are_whole_and_no_others(filled: Engine) -> None:
    with filled.connect() as connection:
        since = day_of(connection)
        until = since + timedelta(hours=1)
        spoken, session = emotion_results.c.spoken_at, emotion_results.c.session_id
        heard = set(connection.scalars(select(session).where(spoken >= since, spoken < until)))
        counted = connection.exec_driver_sql(
            "SELECT session_id, sum(segments + not_scored) FROM session_emotions_between(%s, %s) GROUP BY 1",
            (since, until),
        )
        assert dict(counted.tuples().all()) == dict.fromkeys(heard, 20)

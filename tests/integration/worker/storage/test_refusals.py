"""What Postgres refuses or cancels late: at the commit, or because it takes too long."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from chunks import TOPIC, chunk_of, message
from services import engine_fixture
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from registry.postgres import Cancelled, DatabaseAway
from worker.claims import Claim
from worker.errors import ConfigurationError
from worker.records import Partition, Rejected
from worker.storage.database import connect
from worker.storage.store import ResultStore

engine = engine_fixture(connect, "test")


@pytest.fixture
def impatient_store(postgres_url: str, engine: Engine) -> Iterator[Callable[[str], ResultStore]]:
    """Makes a store whose statements may take so long; each row takes 5 ms."""
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.005); RETURN new; END $$;
            CREATE TRIGGER dawdle BEFORE INSERT ON emotion_results FOR EACH ROW EXECUTE FUNCTION dawdle()
        """)
    engines: list[Engine] = []

    def make(timeout: str) -> ResultStore:
        engines.append(connect(f"{postgres_url}&options=-c%20statement_timeout%3D{timeout}", "test"))
        store = ResultStore(engines[-1], "group", normalizer="normalizer-1")
        store.claim([Claim(Partition(TOPIC, 0), 0, None)])
        return store

    yield make
    for each in engines:
        each.dispose()


def bury_none(rejected: Sequence[Rejected]) -> None:
    assert not rejected


def texts(engine: Engine) -> list[str]:
    """Return the stored texts, by their place."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT text FROM emotion_results ORDER BY kafka_offset")).scalars())


def next_offset(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT next_offset FROM consumer_offsets")).scalar_one())


def test_a_chunk_that_takes_longer_than_statement_timeout_is_stored_in_pieces(
    impatient_store: Callable[[str], ResultStore], engine: Engine
) -> None:
    store = impatient_store("500ms")
    with capture_logs() as lines:
        store.write(chunk_of([message(at, f"фраза {at}") for at in range(200)]), bury_none)
    assert texts(engine) == [f"фраза {at}" for at in range(200)]
    assert next_offset(engine) == 200
    [line, *_] = lines
    assert (line["statement_timeout"], line["rows"]) == ("500ms", 100)


def test_a_row_that_takes_longer_than_statement_timeout_ends_the_worker_with_the_settings_name(
    impatient_store: Callable[[str], ResultStore], engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(10); RETURN new; END $$
        """)
    store = impatient_store("1s")
    with pytest.raises(ConfigurationError, match=r"one row, since statement_timeout is 1s: raise it"):
        store.write(chunk_of([message(at, "да") for at in range(4)]), bury_none)
    assert texts(engine) == []
    assert next_offset(engine) == 0


@pytest.mark.parametrize("count", [1, 4])
def test_another_sessions_lock_is_waited_out_however_long_it_holds(
    impatient_store: Callable[[str], ResultStore], engine: Engine, count: int
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER dawdle ON emotion_results")
    store = impatient_store("1s")
    chunk = chunk_of([message(at, f"фраза {at}") for at in range(count)])
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE emotion_results IN ACCESS EXCLUSIVE MODE")
        for _ in range(4):
            with pytest.raises(DatabaseAway, match="lock timeout"):
                store.write(chunk, bury_none)
    store.write(chunk, bury_none)
    assert texts(engine) == [f"фраза {at}" for at in range(count)]


def test_a_statement_that_somebody_cancels_is_repeated_with_the_whole_chunk(
    impatient_store: Callable[[str], ResultStore], engine: Engine
) -> None:
    with engine.begin() as connection:
        # The trigger cancels its own session, once: sequences are not rolled back.
        connection.exec_driver_sql("""
            CREATE SEQUENCE calls;
            CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN
                IF nextval('calls') = 1 THEN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(10); END IF;
                RETURN new;
            END $$
        """)
    store = impatient_store("0")
    chunk = chunk_of([message(at, "да") for at in range(4)])
    with pytest.raises(Cancelled):
        store.write(chunk, bury_none)
    store.write(chunk, bury_none)
    assert texts(engine) == ["да"] * 4


def test_a_row_that_a_deferred_constraint_refuses_is_a_dead_letter_and_the_rest_is_stored(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE emotion_results ADD CONSTRAINT one_text UNIQUE (text) DEFERRABLE INITIALLY DEFERRED"
        )
    store = ResultStore(engine, "group", normalizer="normalizer-1")
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    buried: list[int] = []

    store.write(
        chunk_of([message(at, f"фраза {min(at, 6)}") for at in range(8)]),
        lambda rejected: buried.extend(item.record.offset for item in rejected),
    )

    assert texts(engine) == [f"фраза {at}" for at in range(7)]
    assert buried == [7]
    assert next_offset(engine) == 8

"""Sessions on a real Postgres: none holds its locks for ever, and none holds anything that a pooler would mix up."""

from typing import Any

import pytest
from chunks import TOPIC, chunk_of, message
from services import engine_fixture, wait_for
from sqlalchemy import Engine, Pool, event, text

from worker.claims import Claim
from worker.errors import Away
from worker.records import Partition
from worker.storage.database import connect
from worker.storage.migrate import downgrade, migrate
from worker.storage.store import ResultStore

engine = engine_fixture(connect, "test")


def test_a_session_that_stood_still_in_a_transaction_is_ended_and_its_work_done_again(
    postgres_url: str, engine: Engine
) -> None:
    impatient = connect(f"{postgres_url}&options=-c%20idle_in_transaction_session_timeout%3D100ms", "frozen")
    store = ResultStore(impatient, "group", normalizer="normalizer-1")
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    chunk = chunk_of([message(0, "да")])

    def ask(statement: str) -> Any:
        with engine.connect() as connection:
            return connection.execute(text(statement)).scalar_one()

    def ended() -> bool:
        return bool(ask("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'frozen'"))

    def next_offset() -> int:
        return int(ask("SELECT next_offset FROM consumer_offsets"))

    with pytest.raises(Away):
        store.write(chunk, lambda _: wait_for(ended, what="the end of the session"))
    assert next_offset() == 0

    store.write(chunk, lambda _: None)
    impatient.dispose()
    assert next_offset() == 1


def test_a_transaction_of_the_worker_lets_go_of_its_locks_after_a_minute(engine: Engine) -> None:
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "1min"


def test_nothing_is_left_behind_in_a_session(engine: Engine) -> None:
    for _ in range(10):  # A driver that prepares statements does so after a few; a rollback would undo it.
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("0",)
        assert driver.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_a_migration_leaves_no_lock_behind_in_a_session(postgres_url: str) -> None:
    left: list[int] = []

    def count(driver: Any, _: object) -> None:
        own = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        left.append(driver.execute(own).fetchone()[0])
        driver.rollback()  # The pool gives the connection on as it is.

    event.listen(Pool, "checkin", count)
    try:
        downgrade(postgres_url)
        migrate(postgres_url)
    finally:
        event.remove(Pool, "checkin", count)
    assert left
    assert not any(left)


def test_the_options_of_a_url_reach_the_server(postgres_url: str) -> None:
    engine = connect(f"{postgres_url}&options=-c%20statement_timeout%3D5s", "test")
    with engine.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "5s"
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "1min"
    engine.dispose()

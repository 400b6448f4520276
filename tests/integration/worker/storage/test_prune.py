"""Old rows go a few at a time: on a real Postgres, beside a worker that stores."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chunks import Message, message
from commands import emotion_worker, told_error
from flow import Flow
from services import engine_fixture, wait_for
from sqlalchemy import Engine, event, func, select, text
from stored import Store, stored_fixture

from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, shadow_results
from worker.backoff import Stopped
from worker.inference.assign import Scored
from worker.records import Identity
from worker.storage.database import connect
from worker.storage.delete_messages import Gone, prune
from worker.storage.scores import ShadowStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=91)
LIMIT = NOW - timedelta(days=90)

engine = engine_fixture(connect, "test")
stored = stored_fixture()


def said(at: datetime, count: int, prefix: str, *, first: int = 0) -> list[Message]:
    name = "id-{}-{:04}"
    return [
        message(first + number, "да", id=name.format(prefix, number), spoken_at=at.isoformat())
        for number in range(count)
    ]


def left(engine: Engine, table: Any = emotion_results) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def test_rows_before_a_time_go_with_the_parts_and_shadows_of_their_messages(engine: Engine, stored: Store) -> None:
    segments = [{"text": "алло", "spoken_at": OLD.isoformat()}, {"text": "слушаю", "spoken_at": NOW.isoformat()}]
    call = message(1_000, "алло слушаю", id="call", segments=segments)
    stored(*said(OLD, 1_000, "old"), call, *said(NOW, 50, "new", first=1_001))
    names = ("id-old-0001", "call#0002", "id-new-0001")
    scored = [Scored(Identity(name, "transcripts"), ["joy"], [0.5] * len(EMOTIONS), 1) for name in names]
    ShadowStore(engine).write("candidate", "public", scored)
    with engine.begin() as connection:
        # The shadow's row of a message that a tombstone deleted.
        connection.execute(text("UPDATE shadow_results SET transcript_id = 'gone' WHERE transcript_id = 'call#0002'"))
        connection.execute(text("UPDATE shadow_results SET scored_at = '2026-01-01' WHERE transcript_id = 'gone'"))
    assert prune(engine, LIMIT, threading.Event()) == Gone(1_002, 2, 0)
    assert (left(engine), left(engine, shadow_results)) == (50, 1)
    assert prune(engine, LIMIT, threading.Event()) == Gone()


def test_old_rows_are_found_by_their_time_and_rows_without_one_by_when_they_were_written(
    engine: Engine, stored: Store
) -> None:
    moments = [OLD - timedelta(minutes=number // 3) for number in range(1_800)]
    records = [message(at, "да", id=f"id-{at}", spoken_at=moment.isoformat()) for at, moment in enumerate(moments)]
    untimed = [message(at, "да", id=f"id-{at}")._replace(timestamp=-1) for at in (1_800, 1_801)]
    stored(*records, *untimed, *said(NOW, 50, "new", first=1_802))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE emotion_results SET processed_at = '2026-01-01' WHERE transcript_id = 'id-1800'")
        )
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM emotion_results" in statement:
            cursor.execute("SET LOCAL enable_seqscan = off")
            plans.append("\n".join(line for (line,) in cursor.execute(f"EXPLAIN {statement}", values)))

    event.listen(engine, "before_cursor_execute", explain)
    assert prune(engine, LIMIT, threading.Event()) == Gone(1_801, 0, 0)
    event.remove(engine, "before_cursor_execute", explain)
    assert left(engine) == 51
    assert plans
    assert not [plan for plan in plans if "ix_emotion_results_spoken_at_order" not in plan]


def test_rows_that_someone_holds_stay_for_the_next_time(engine: Engine, stored: Store, postgres_url: str) -> None:
    stored(*said(OLD, 20, "old"))
    other = connect(postgres_url, "rescoring")
    with other.begin() as connection:
        connection.execute(text("SELECT FROM emotion_results WHERE transcript_id < 'id-old-0005' FOR UPDATE"))
        assert prune(engine, LIMIT, threading.Event()) == Gone(15, 0, 0)
    other.dispose()
    assert prune(engine, LIMIT, threading.Event()) == Gone(5, 0, 0)


def test_what_was_stopped_goes_on_with_the_next_call(engine: Engine, stored: Store) -> None:
    stored(*said(OLD, 1_000, "old"))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        prune(engine, LIMIT, stop)
    assert left(engine) == 1_000
    assert prune(engine, LIMIT, threading.Event()).rows == 1_000


def test_months_that_would_be_read_as_minutes_delete_nothing() -> None:
    done = emotion_worker("prune", "--older-than", "3m", WORKER_DATABASE_URL="postgresql://nobody@localhost:1/none")
    assert done.returncode == 2
    assert told_error(done.stderr).startswith("prune: --older-than 3m is less than a day")


@pytest.mark.kafka
def test_a_worker_goes_on_while_old_rows_go(flow: Flow) -> None:
    records = (f'{{"text": "старое {number}", "spoken_at": "2020-01-01T00:00:00Z"}}' for number in range(300))
    flow.publish_raw(record.encode() for record in records)
    worker = flow.start()
    flow.wait_for_rows(300)
    flow.publish(200)
    # Any number of them may be stored by now.
    done = emotion_worker("prune", "--older-than", "90d", **flow.settings)
    assert (done.returncode, done.stdout) == (0, "pruned 300 rows and 0 shadow rows\n"), done.stderr
    wait_for(flow.stored_to_the_end, "all records")
    flow.assert_each_once()
    assert worker.stop() == 0

"""A message of several parts has all of its rows, of one record, or none: on a real Postgres."""

from threading import Thread
from typing import Any

import pytest
from chunks import Message, message, tombstone
from services import engine_fixture, wait_for
from sqlalchemy import Engine, text
from stored import Store, stored_fixture

from worker.records import Written
from worker.storage.database import connect

engine = engine_fixture(connect, "test")


stored = stored_fixture()


def call(moment: int, offset: int, *texts: str, partition: int = 0, **fields: Any) -> Message:
    """Make a record that is the call "1" with a timestamp."""
    segments = [{"text": each} for each in texts]
    fields = {"id": "1", "segments": segments, **fields}
    return message(offset, " ".join(texts), partition=partition, **fields)._replace(timestamp=moment)


def single(moment: int, offset: int, words: str, **fields: Any) -> Message:
    return message(offset, words, **{"id": "1", **fields})._replace(timestamp=moment)


def said(engine: Engine) -> dict[str, str]:
    """Return the text of each row, by id."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT transcript_id, text FROM emotion_results"))
        return {row.transcript_id: row.text for row in found}


FIRST = {"1": "а", "1#0002": "б", "1#0003": "в"}


def test_each_segment_has_a_row_that_names_the_message_its_number_and_how_it_was_cut(
    stored: Store, engine: Engine
) -> None:
    assert stored(call(1, 0, "а", "б"), single(1, 1, "ну " * 100, id="2")).written == Written(rows=4)
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT transcript_id, message_id, part, cut, segment, kafka_offset, windows FROM emotion_results "
                "ORDER BY message_id, part"
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        ("1", "1", 1, "segment", 0, 0, 1),
        ("1#0002", "1", 2, "segment", 1, 0, 1),
        ("2", "2", 1, "words", None, 1, 1),
        ("2#0002", "2", 2, "words", None, 1, 1),
    ]


def test_a_call_that_is_delivered_again_has_the_same_rows(stored: Store, engine: Engine) -> None:
    for deliveries in range(3):
        assert stored(call(1, 0, "а", "б", "в")).written == Written(rows=3), deliveries
        assert said(engine) == FIRST


CORRECTIONS: list[tuple[Message, dict[str, str], int]] = [
    (call(2, 1, "г", "д"), {"1": "г", "1#0002": "д"}, 1),
    (call(2, 1, "г"), {"1": "г"}, 2),
    (single(2, 1, "г"), {"1": "г"}, 2),
    (call(2, 1, "г", "д", "е", "ж"), {"1": "г", "1#0002": "д", "1#0003": "е", "1#0004": "ж"}, 0),
    (call(2, 0, "г", "д"), {"1": "г", "1#0002": "д"}, 1),
]


@pytest.mark.parametrize(("corrected", "left", "deleted"), CORRECTIONS)
def test_a_corrected_call_leaves_no_row_of_the_former_one(
    stored: Store, engine: Engine, corrected: Message, left: dict[str, str], deleted: int
) -> None:
    """Also where a newer version of the worker cuts the record that it reads again into fewer parts."""
    stored(call(1, 0, "а", "б", "в"))
    assert stored(corrected).written == Written(rows=len(left), deleted=deleted)
    assert said(engine) == left


@pytest.mark.parametrize("together", [True, False])
def test_an_older_record_with_more_parts_changes_nothing(stored: Store, engine: Engine, *, together: bool) -> None:
    newer, older = call(9, 0, "г", "д"), call(1, 1, "а", "б", "в")
    chunks = [stored(newer, older)] if together else [stored(newer), stored(older)]
    assert said(engine) == {"1": "г", "1#0002": "д"}
    assert sum(chunk.written.outdated for chunk in chunks) == 1
    assert sum(chunk.written.rows - chunk.written.deleted for chunk in chunks) == 2


def test_a_single_message_that_is_older_than_the_call_changes_nothing(stored: Store, engine: Engine) -> None:
    stored(call(9, 0, "а", "б", "в"))
    assert stored(single(1, 1, "г")).written == Written(outdated=1)
    assert said(engine) == FIRST


def test_of_two_calls_of_one_chunk_under_one_id_the_newer_has_its_rows_alone(stored: Store, engine: Engine) -> None:
    assert stored(call(1, 0, "а", "б", "в"), call(2, 1, "г", "д")).written.rows == 2
    assert said(engine) == {"1": "г", "1#0002": "д"}


def test_calls_of_one_id_and_two_sources_are_two(stored: Store, engine: Engine) -> None:
    stored(call(1, 0, "а", "б", source="x"), call(1, 1, "а", "б", source="y"))
    stored(call(2, 2, "г", source="y"))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT source, text FROM emotion_results ORDER BY 1, 2")).all()
    assert [tuple(row) for row in rows] == [("x", "а"), ("x", "б"), ("y", "г")]


def test_a_message_whose_own_id_looks_like_a_parts_fails_nothing(stored: Store, engine: Engine) -> None:
    """It is as if two messages had one id: the later one has the row."""
    own = single(1, 1, "своё", id="1#0002")
    stored(call(1, 0, "а", "б"), own)
    assert said(engine) == {"1": "а", "1#0002": "своё"}
    stored(call(1, 2, "а", "б"))
    assert said(engine) == {"1": "а", "1#0002": "б"}
    stored(own._replace(offset=3))
    stored(call(2, 4, "г"))
    assert said(engine) == {"1": "г", "1#0002": "своё"}


@pytest.mark.parametrize("deliveries", [1, 2])
def test_a_tombstone_deletes_all_rows_of_its_call_and_of_none_newer(
    stored: Store, engine: Engine, deliveries: int
) -> None:
    stored(call(5, 0, "а", "б", "в"), single(5, 1, "да", id="10"))
    for _ in range(deliveries):
        stored(tombstone(2, b"1", timestamp=4), delete=True)
    assert said(engine) == FIRST | {"10": "да"}
    assert stored(tombstone(3, b"1", timestamp=5), delete=True).written.deleted == 3
    assert said(engine) == {"10": "да"}


def test_tombstones_and_calls_of_one_chunk_take_effect_in_their_order(stored: Store, engine: Engine) -> None:
    records = [call(1, 0, "а", "б", "в"), tombstone(1, b"1", timestamp=2), call(3, 2, "г", "д")]
    stored(*records, delete=True)
    assert said(engine) == {"1": "г", "1#0002": "д"}
    stored(call(1, 3, "а", "б", "в"), tombstone(4, b"1", timestamp=9), delete=True)
    assert said(engine) == {}


def test_a_call_with_a_row_that_the_database_refuses_is_rejected_whole_and_its_neighbours_are_stored(
    stored: Store, engine: Engine
) -> None:
    stored(call(1, 0, "а", "б", "в", id="2"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE emotion_results ADD CONSTRAINT no_rubbish CHECK (text <> 'мусор')"))
    records = [call(2, 1, "г", "мусор", "д", id="2"), *(call(2, 2 + at, "г", "д", id=f"{at}-") for at in range(7))]
    chunk = stored(*records)
    assert [(item.record.offset, item.stage) for item in chunk.rejected] == [(1, "store")]
    words = said(engine)
    assert {name: words.pop(name) for name in list(words) if name.startswith("2") and "-" not in name} == {
        "2": "а",
        "2#0002": "б",
        "2#0003": "в",
    }
    assert words == {f"{at}-{further}": each for at in range(7) for further, each in (("", "г"), ("#0002", "д"))}


@pytest.mark.parametrize("newer_first", [True, False])
def test_two_workers_that_store_one_call_at_once_leave_the_rows_of_the_newer_alone(
    stored: Store, engine: Engine, *, newer_first: bool
) -> None:
    """The first one's transaction is open, with its rows inserted, while the second one meets them."""
    newer, older = call(9, 0, "г", "д"), call(1, 0, "а", "б", "в", partition=1)
    first, second = (newer, older) if newer_first else (older, newer)
    follower = Thread(target=stored, args=(second,), kwargs={"group": "other"})

    def let_the_other_come() -> None:
        follower.start()
        with engine.connect() as connection:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            wait_for(lambda: connection.scalar(waiting) == 1, what="the second to wait for the first one's rows")

    stored(first, meanwhile=let_the_other_come)
    follower.join()
    assert said(engine) == {"1": "г", "1#0002": "д"}

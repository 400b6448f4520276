"""Which row a record writes, overwrites or deletes: identity, order and tombstones, on a real Postgres."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from chunks import TOPIC, Message, chunk_of, message, tombstone
from fakes import StubClassifier
from services import engine_fixture
from sqlalchemy import Engine, text

from worker.claims import Claim
from worker.dead_letters.headers import Place
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Chunk, Partition, Rejected, Written
from worker.stages import Inference
from worker.storage.database import connect
from worker.storage.store import ResultStore

Store = Callable[..., Chunk]

engine = engine_fixture(connect, "test")


def bury_none(rejected: Sequence[Rejected]) -> None:
    assert not rejected


@pytest.fixture
def stored(engine: Engine) -> Store:
    """Stores records, each call in a chunk of its own, under the first claims of their partitions."""
    stores: dict[bool, ResultStore] = {}

    def store(*records: Message, delete: bool = False) -> Chunk:
        keeper = stores.setdefault(delete, _store(engine, delete=delete))
        partitions = {Partition(record.topic, record.partition) for record in records}
        claimed = keeper.claim([Claim(partition, 0, None) for partition in partitions])
        chunk = chunk_of(records, {answer.claim.partition: answer.epoch for answer in claimed})
        chunk.expected = {answer.claim.partition: answer.next_offset for answer in claimed}
        Inference(Serving(StubClassifier()), Metrics(), None)(chunk)
        keeper.write(chunk, bury_none)
        return chunk

    return store


def _store(engine: Engine, *, delete: bool) -> ResultStore:
    return ResultStore(engine, "group", normalizer="n-1", channel_roles={"1": "customer"}, delete=delete)


def said(engine: Engine) -> dict[tuple[str, str], str]:
    """Return the text of each row, by id and source."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT transcript_id, source, text FROM emotion_results"))
        return {(row.transcript_id, row.source): row.text for row in found}


def at(moment: int, offset: int, words: str, *, partition: int = 0, **fields: Any) -> Message:
    """Make a record of the transcript "1" with a timestamp."""
    return message(offset, words, partition=partition, **{"id": "1", **fields})._replace(timestamp=moment)


ROLES = "role, language, asr_confidence, attributes, not_scored, anger IS NULL AS unscored"


def test_a_row_keeps_language_confidence_role_and_attributes_however_it_is_written(
    engine: Engine, stored: Store
) -> None:
    """The second time the rows are there already, and are merged."""
    attributes = {"channel": 1, "agent": {"имя": "Иванова", "смена": [1, None, 0.5]}, "заказ": 10**30}
    first = {"id": "1", "language": "Russian", "asr_confidence": 0.25, "attributes": attributes}
    second = {"id": "2", "language": "kk-KZ", "speaker": "Оператор 3", "attributes": {}}
    for offset in (0, 2):
        stored(message(offset, "раз", **first), message(offset + 1, "екі", **second))
        with engine.connect() as connection:
            rows = connection.execute(text(f"SELECT {ROLES} FROM emotion_results ORDER BY transcript_id")).all()  # noqa: S608 - a constant.
        assert rows == [
            ("customer", "ru", 0.25, attributes, None, False),
            ("agent", "kk-KZ", None, {}, "language", True),
        ]
    with engine.connect() as connection:
        found = "SELECT transcript_id FROM emotion_results WHERE attributes #>> '{agent,имя}' = 'Иванова'"
        assert connection.execute(text(found)).scalars().all() == ["1"]


def test_two_sources_and_two_topics_may_use_one_id(stored: Store, engine: Engine) -> None:
    stored(at(1, 0, "поддержка", source="support"), at(1, 1, "такси", source="taxi"), at(1, 2, "без источника"))
    stored(at(1, 0, "другая тема")._replace(topic="calls"))
    assert said(engine) == {
        ("1", "support"): "поддержка",
        ("1", "taxi"): "такси",
        ("1", TOPIC): "без источника",
        ("1", "calls"): "другая тема",
    }


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (10, 20, "второе"),
        (20, 10, "первое"),
        (10, 10, "второе"),
        (10, -1, "первое"),
        (-1, 10, "второе"),
        (-1, -1, "второе"),
        (-1, -7, "второе"),
    ],
)
def test_an_older_record_changes_no_row_and_an_unknown_timestamp_is_never_newer(
    stored: Store, engine: Engine, first: int, second: int, wins: str, *, together: bool
) -> None:
    records = [at(first, 0, "первое"), at(second, 1, "второе")]
    chunks = [stored(*records)] if together else [stored(record) for record in records]
    assert said(engine) == {("1", TOPIC): wins}
    assert sum(chunk.written.outdated for chunk in chunks) == (wins == "первое")


def test_rows_from_before_timestamps_were_kept_are_overwritten(stored: Store, engine: Engine) -> None:
    stored(at(10, 0, "первое"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE emotion_results SET kafka_timestamp = DEFAULT"))
    stored(at(1, 1, "второе"))
    assert said(engine) == {("1", TOPIC): "второе"}


def test_a_replayed_record_has_the_timestamp_that_it_had_first(stored: Store, engine: Engine) -> None:
    """Also in a topic where the broker gives each record that it appends a timestamp of its own."""
    stored(at(20, 5, "исправлено"))
    replayed = at(30, 6, "прежде")._replace(headers=(Place(TOPIC, 0, 1, 10).header,))
    forged = at(30, 7, "подделано")._replace(headers=(Place(TOPIC, 0, 1, 9_999_999_999_999_999_999).header,))
    assert stored(replayed).written == Written(outdated=1)
    assert said(engine) == {("1", TOPIC): "исправлено"}
    assert stored(forged).written == Written(rows=1)


def test_new_rows_and_old_ones_of_one_chunk_are_told_apart(stored: Store, engine: Engine) -> None:
    stored(*(at(10, offset, "первое", id=str(offset)) for offset in range(6)))
    again = stored(*(at(5 * offset, offset, "второе", id=str(offset)) for offset in range(9)))
    assert again.written == Written(rows=7, outdated=2)
    words = said(engine)
    assert [words[str(offset), TOPIC] for offset in range(9)] == ["первое"] * 2 + ["второе"] * 7


def test_rows_that_a_message_of_another_session_overwrote_are_counted(stored: Store) -> None:
    calls = [at(moment, moment, "да", session_id=session) for moment, session in enumerate(("a", "b", "b", "a"))]
    assert stored(*calls[:2]).written == Written(rows=1, overwritten=1)
    assert stored(calls[2]).written == Written(rows=1)
    assert stored(calls[3]).written == Written(rows=1, overwritten=1)
    assert stored(calls[3]).written == Written(rows=1)
    assert stored(calls[0]).written == Written(outdated=1)


def test_no_session_keeps_a_temporary_table(stored: Store, engine: Engine) -> None:
    """It would keep Postgres from freezing old rows, however long the session lives."""
    for _ in range(2):
        stored(at(1, 0, "да"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_class WHERE relpersistence = 't'")) == 0


def test_tombstones_are_passed_over_unless_they_are_to_delete(stored: Store, engine: Engine) -> None:
    stored(at(1, 0, "да"))
    chunk = stored(tombstone(1, b"1"), tombstone(2, None))
    assert len(chunk) == 2
    assert chunk.written == Written()
    assert said(engine) == {("1", TOPIC): "да"}
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT next_offset FROM consumer_offsets")) == 3


def test_a_tombstone_deletes_the_rows_of_its_topic_whose_id_is_its_key(stored: Store, engine: Engine) -> None:
    stored(at(1, 0, "да"), at(1, 1, "нет", source="taxi"), at(1, 2, "другой", id="2"))
    stored(at(1, 0, "другая тема")._replace(topic="calls"))
    gone = [tombstone(3, b"1"), tombstone(4, None), tombstone(5, b"\xff1"), tombstone(6, b"1\0"), tombstone(7, b"none")]
    assert stored(*gone, delete=True).written.deleted == 2
    assert said(engine) == {("2", TOPIC): "другой", ("1", "calls"): "другая тема"}
    assert stored(*gone, delete=True).written.deleted == 0


def test_an_older_tombstone_deletes_no_newer_row(stored: Store, engine: Engine) -> None:
    stored(at(10, 0, "да"))
    assert stored(tombstone(1, b"1", timestamp=9), tombstone(2, b"1", timestamp=-1), delete=True).written.deleted == 0
    assert said(engine) == {("1", TOPIC): "да"}
    assert stored(tombstone(3, b"1", timestamp=10), delete=True).written.deleted == 1


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ([at(1, 0, "да"), tombstone(1, b"1", timestamp=1)], None),
        ([tombstone(0, b"1", timestamp=1), at(1, 1, "да")], "да"),
        ([at(1, 0, "да"), tombstone(1, b"1", timestamp=2), at(3, 2, "снова")], "снова"),
        ([at(5, 0, "да"), tombstone(1, b"1", timestamp=2)], "да"),
        ([tombstone(0, b"1", timestamp=5), at(2, 1, "да")], None),
    ],
)
@pytest.mark.parametrize("deliveries", [1, 2])
def test_tombstones_and_transcripts_of_one_chunk_take_effect_in_their_order(
    stored: Store, engine: Engine, records: list[Message], left: str | None, deliveries: int
) -> None:
    for _ in range(deliveries):
        stored(*records, delete=True)
    assert said(engine) == ({("1", TOPIC): left} if left else {})

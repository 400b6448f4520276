"""The store on a real Postgres: claims and fences, and chunks written whole or not at all."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from chunks import TOPIC, chunk_of, message
from fakes import StubClassifier, scores_of
from services import PATIENCE_S, engine_fixture
from sqlalchemy import Engine, event, text

from schemas.emotions import EMOTIONS
from worker.claims import Claim, Claimed
from worker.errors import Away, ConfigurationError
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Chunk, Partition, Rejected, Utterance
from worker.stages import Inference
from worker.storage.database import connect
from worker.storage.store import ResultStore

FIRST, SECOND = Partition(TOPIC, 0), Partition(TOPIC, 1)


def bury_none(rejected: Sequence[Rejected]) -> None:
    assert not rejected


engine = engine_fixture(connect, "test")


@pytest.fixture
def new_store(postgres_url: str) -> Iterator[Callable[[], ResultStore]]:
    """Makes stores, each with a connection of its own, as in two workers."""
    engines: list[Engine] = []

    def make() -> ResultStore:
        engines.append(connect(postgres_url, "test"))
        return ResultStore(engines[-1], "group", normalizer="normalizer-1")

    yield make
    for engine in engines:
        engine.dispose()


def rows(engine: Engine) -> dict[str, dict[str, Any]]:
    """Return the rows by their key."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM emotion_results ORDER BY transcript_id")).mappings()
        return {row["transcript_id"]: dict(row) for row in found}


def offsets(engine: Engine) -> dict[int, int]:
    """Return the next offset of each partition."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT partition, next_offset FROM consumer_offsets"))
        return {row.partition: row.next_offset for row in found}


def claim(store: ResultStore, *partitions: Partition, topic_id: str | None = None) -> dict[Partition, int]:
    """Claim partitions from offset 0 and return the epochs."""
    answers = store.claim([Claim(partition, 0, topic_id) for partition in partitions])
    return {answer.claim.partition: answer.epoch for answer in answers}


def classified(chunk: Chunk) -> Chunk:
    Inference(Serving(StubClassifier()), Metrics(), None)(chunk)
    return chunk


def test_a_first_claim_begins_at_its_start_and_a_later_one_where_the_rows_end(
    new_store: Callable[..., ResultStore],
) -> None:
    store = new_store()
    first = Claim(FIRST, 40, "topic-1")
    assert store.claim([first]) == (Claimed(first, 1, 40, "topic-1"),)
    store.write(chunk_of([message(40, "да")]), bury_none)

    later = Claim(FIRST, 7, "topic-2")
    assert new_store().claim([later]) == (Claimed(later, 2, 41, "topic-1"),)


def test_a_claim_that_was_withdrawn_is_not_sent(new_store: Callable[..., ResultStore], engine: Engine) -> None:
    withdrawn, wanted = Claim(FIRST, 0, None), Claim(SECOND, 0, None)
    withdrawn.wanted = False
    answers = new_store().claim([withdrawn, wanted])
    assert [answer.claim for answer in answers] == [wanted]
    assert offsets(engine) == {1: 0}


def test_a_chunk_whose_commit_was_not_answered_is_stored_once(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    epochs = claim(store, FIRST)
    store.write(chunk_of([message(0, "да", id="one")], epochs), bury_none)
    again = chunk_of([message(0, "да", id="one")], epochs)
    store.write(again, bury_none)
    assert again.fenced == {}
    assert list(rows(engine)) == ["one"]
    assert offsets(engine) == {0: 1}


def test_a_chunk_that_begins_elsewhere_than_the_stored_offset_is_refused_and_named(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    epochs = claim(store, FIRST, SECOND)
    chunk = chunk_of([message(5, "да", id="ahead"), message(0, "да", partition=1, id="in order")], epochs)
    store.write(chunk, bury_none)
    assert chunk.fenced == {FIRST: 1}
    assert chunk.fenced_records == 1
    assert list(rows(engine)) == ["in order"]
    assert offsets(engine) == {0: 0, 1: 1}


def test_a_group_that_is_new_to_the_topic_begins_all_partitions_where_its_first_claim_says(
    new_store: Callable[..., ResultStore],
) -> None:
    ends = {0: 40, 1: 50}
    (first,) = new_store().claim([Claim(FIRST, 0, None, first_starts=ends)])
    assert first.next_offset == 40
    later, added = new_store().claim(
        [Claim(SECOND, 0, None, first_starts={0: 60, 1: 70}), Claim(Partition(TOPIC, 2), 0, None, first_starts={2: 9})]
    )
    assert later.next_offset == 50
    assert added.next_offset == 0, "a partition that is added later begins at its beginning"


def test_the_topic_id_moves_with_the_offset(new_store: Callable[..., ResultStore]) -> None:
    store = new_store()
    claim(store, FIRST, topic_id="old")
    epochs = claim(store, FIRST, topic_id="new")
    store.write(chunk_of([message(0, "да")], epochs), bury_none)
    (answer,) = store.claim([Claim(FIRST, 0, "new")])
    assert answer.topic_id == "new"


def test_an_earlier_owner_writes_nothing_any_more(new_store: Callable[..., ResultStore], engine: Engine) -> None:
    zombie, owner = new_store(), new_store()
    old = claim(zombie, FIRST)
    new = claim(owner, FIRST)
    late = chunk_of([message(at, "да") for at in range(3)], old)

    zombie.write(late, bury_none)

    assert len(late) == 0
    assert late.next_offsets == {}
    assert rows(engine) == {}
    assert offsets(engine) == {0: 0}
    owner.write(chunk_of([message(0, "да", id="one")], new), bury_none)
    assert list(rows(engine)) == ["one"]


def test_records_of_a_partition_that_went_are_dropped_and_the_others_stored(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    loser = new_store()
    epochs = claim(loser, FIRST, SECOND)
    claim(new_store(), SECOND)
    chunk = chunk_of(
        [message(0, "моя", id="kept"), message(0, "чужая", partition=1, id="dropped"), message(1, "моя", id="too")],
        epochs,
    )

    loser.write(chunk, bury_none)

    assert list(rows(engine)) == ["kept", "too"]
    assert chunk.next_offsets == {FIRST: 2}
    assert offsets(engine) == {0: 2, 1: 0}


def test_results_are_handed_on_before_the_commit_and_only_of_rows_that_are_written(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    handed: list[tuple[list[str], int]] = []

    def publish(utterances: Sequence[Utterance], *_: str) -> None:
        handed.append(([item.id for item in utterances], len(rows(engine))))

    loser = ResultStore(engine, "group", normalizer="normalizer-1", publish=publish)
    epochs = claim(loser, FIRST, SECOND)
    claim(new_store(), SECOND)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO erasures (digest) VALUES (sha256(convert_to('transcript', 'UTF8') || '\\x00' || 'gone'))")
        )
    chunk = chunk_of(
        [
            message(0, "да", id="kept"),
            message(1, "да", id="gone"),
            message(2, "да", id="refused"),
            message(0, "чужая", partition=1, id="dropped"),
        ],
        epochs,
    )
    chunk.utterances[2].id = "a\0b"  # What Postgres cannot hold.

    loser.write(chunk, lambda _: None)

    assert handed == [(["kept"], 0)]
    assert list(rows(engine)) == ["kept"]


def test_dead_letters_of_a_partition_that_went_are_its_new_owners_to_bury(
    new_store: Callable[..., ResultStore],
) -> None:
    loser = new_store()
    epochs = claim(loser, FIRST)
    claim(new_store(), FIRST)
    loser.write(chunk_of([message(0, "да")._replace(value=b"garbage")], epochs), bury_none)


def test_a_chunk_without_records_moves_its_offsets_and_costs_nothing_else(engine: Engine) -> None:
    store = ResultStore(engine, "group", normalizer="normalizer-1")
    epochs = claim(store, FIRST)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
    store.write(Chunk(next_offsets={FIRST: 90}, expected={FIRST: 0}, epochs=epochs), bury_none)
    assert [statement.split()[0] for statement in said] == ["SET", "SELECT", "WITH"]
    assert offsets(engine) == {0: 90}
    assert rows(engine) == {}


def test_an_id_that_comes_twice_in_a_chunk_has_the_row_of_the_last(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    claim(store, FIRST)
    store.write(chunk_of([message(0, "было", id="one"), message(1, "стало", id="one")]), bury_none)
    assert [(row["text"], row["kafka_offset"]) for row in rows(engine).values()] == [("стало", 1)]
    assert offsets(engine) == {0: 2}


def test_a_write_that_could_not_bury_leaves_nothing_and_its_repetition_each_row_once(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    claim(store, FIRST)
    chunk = chunk_of(
        [message(0, "да"), message(1, "нет"), message(2, "да")._replace(value=b"garbage"), message(3, "да")]
    )
    chunk.utterances[1].id = "a\0b"  # What Postgres cannot hold.
    attempts: list[list[int]] = []

    def bury(rejected: Iterable[Rejected]) -> None:
        attempts.append([item.record.offset for item in rejected])
        if len(attempts) == 1:
            raise Away("the dead-letter topic")

    with pytest.raises(Away):
        store.write(chunk, bury)
    assert rows(engine) == {}
    assert offsets(engine) == {0: 0}

    store.write(chunk, bury)
    assert attempts == [[2, 1], [2, 1]]
    assert sorted(row["kafka_offset"] for row in rows(engine).values()) == [0, 3]
    assert sorted(item.record.offset for item in chunk.rejected) == [1, 2]
    assert offsets(engine) == {0: 4}


def test_a_row_holds_what_was_received_and_what_the_model_said(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    claim(store, FIRST)
    said = {"source": "line", "session_id": "call", "speaker": "agent", "segment": 3}
    spoken = message(0, "Ну\0 ЧТО ж", id="one", spoken_at="2026-05-01T12:00:00+03:00", **said)
    store.write(classified(chunk_of([spoken])), bury_none)

    row = rows(engine)["one"]
    scores = scores_of("ну что ж")
    assert {name: row[name] for name in said} == said
    assert row["spoken_at"] == datetime(2026, 5, 1, 9, tzinfo=UTC)
    assert row["text"] == "Ну ЧТО ж"
    assert [row[emotion] for emotion in EMOTIONS] == pytest.approx(scores)
    assert row["emotions"] == [emotion for emotion, score in zip(EMOTIONS, scores, strict=True) if score >= 0.5]
    assert (row["model_version"], row["normalizer"]) == ("stub-1", "normalizer-1")
    assert (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) == (TOPIC, 0, 0)


def test_a_text_with_nothing_to_classify_has_a_row_without_scores(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    store = new_store()
    claim(store, FIRST)
    store.write(classified(chunk_of([message(0, "", id="silent"), message(1, " ... ", id="dots")])), bury_none)
    silent = rows(engine)["silent"]
    assert silent["text"] == ""
    assert silent["emotions"] == []
    assert [silent[emotion] for emotion in EMOTIONS] == [None] * len(EMOTIONS)


def test_two_workers_that_write_the_same_ids_in_opposite_order_do_not_deadlock(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    ids = [f"id-{number}" for number in range(500)]
    together = threading.Barrier(2)
    failures: list[BaseException] = []

    def write(partition: Partition, names: list[str]) -> None:
        try:
            store = new_store()
            claim(store, partition)
            for start in range(0, 10 * len(names), len(names)):
                numbered = enumerate(names, start)
                chunk = chunk_of([message(at, "да", partition=partition.partition, id=name) for at, name in numbered])
                together.wait(PATIENCE_S)
                store.write(chunk, bury_none)
        except BaseException as error:
            failures.append(error)
            together.abort()
            raise

    threads = [
        threading.Thread(target=write, args=(FIRST, ids)),
        threading.Thread(target=write, args=(SECOND, ids[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert failures == []
    assert sorted(rows(engine)) == sorted(ids)
    assert offsets(engine) == {0: 5_000, 1: 5_000}


def test_tables_that_are_not_there_are_a_matter_of_the_migration(
    new_store: Callable[..., ResultStore], engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE consumer_offsets")
    with pytest.raises(ConfigurationError, match="emotion-worker migrate"):
        claim(new_store(), FIRST)

"""A few bad records among many good ones: the good ones become rows, and few calls find the bad ones."""

import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from chunks import TOPIC, chunk_of, message
from fakes import POISON, StubClassifier
from flow import Flow
from services import engine_fixture, wait_for
from sqlalchemy import Connection, Engine

from worker.claims import Claim
from worker.dead_letters.headers import HEADER_PREFIX
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Partition, Rejected, Utterance, Written
from worker.stages import Inference
from worker.storage.database import connect
from worker.storage.results import RowWriter
from worker.storage.store import ResultStore

MANY = 256
BAD = {0: "neighbours", 1: "neighbours", 200: "alone"}
MOST_CALLS = 2 * len(BAD) * 8 + 1
"""2 k log2(n) + 1 of 3 in 256."""


class CountingWriter(RowWriter):
    """Counts how often rows are tried."""

    calls = 0

    def write(
        self, connection: Connection, utterances: Sequence[Utterance], model_version: str, convention: str
    ) -> Written:
        self.calls += 1
        return super().write(connection, utterances, model_version, convention)


engine = engine_fixture(connect, "test")


@pytest.fixture
def store(engine: Engine) -> ResultStore:
    store = ResultStore(engine, "group", normalizer="n", most_in_a_row=100)
    store._rows = CountingWriter("n", {})
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    return store


def publish_with(flow: Flow, bad: Callable[[int], dict[str, str]]) -> None:
    """Publish 256 messages, three of them bad."""
    flow.publish_raw(
        json.dumps(bad(number) if number in BAD else {"id": f"good-{number}", "text": "да"}).encode()
        for number in range(MANY)
    )


def assert_only_the_bad_ones_are_dead(flow: Flow, stage: str, bad: Callable[[int], dict[str, str]]) -> None:
    wait_for(flow.stored_to_the_end, "the end of the log")
    assert {row["transcript_id"] for row in flow.rows()} == {f"good-{n}" for n in range(MANY) if n not in BAD}
    letters = flow.dead_letters()
    assert sorted(record.value for record in letters) == sorted(json.dumps(bad(number)).encode() for number in BAD)
    assert {dict(record.headers)[f"{HEADER_PREFIX}stage"] for record in letters} == {stage.encode()}


def test_the_model_is_called_few_times_to_find_three_texts_it_fails_on() -> None:
    classifier = StubClassifier()
    chunk = chunk_of(message(at, POISON if at in BAD else "да") for at in range(MANY))

    Inference(Serving(classifier), Metrics(), 100)(chunk)

    assert {item.record.offset for item in chunk.rejected} == set(BAD)
    assert [item.record.offset for item in chunk.utterances] == [at for at in range(MANY) if at not in BAD]
    assert all(item.scores for item in chunk.utterances)
    assert classifier.calls <= MOST_CALLS


@pytest.mark.kafka
def test_three_texts_the_model_fails_on_cost_no_other_its_row(flow: Flow) -> None:
    def poison(number: int) -> dict[str, str]:
        return {"text": f"{POISON} {number}"}

    publish_with(flow, poison)
    worker = flow.start(WORKER_MAX_RECORDS=str(MANY), WORKER_MAX_WAIT_MS="2000")

    assert_only_the_bad_ones_are_dead(flow, "classify", poison)
    assert worker.stop() == 0
    # Each chunk has its own "+ 1"; there is one, unless the machine was slow to fill it.
    assert len(worker.said("classifying")) < MOST_CALLS + len(worker.said("stored a chunk"))


def break_a_rule(item: Utterance) -> None:
    item.transcript = msgspec.structs.replace(item.transcript, source="forbidden")


def hold_what_the_driver_refuses(item: Utterance) -> None:
    item.id = "id\0"


@pytest.mark.parametrize("spoil", [break_a_rule, hold_what_the_driver_refuses])
def test_the_database_is_asked_few_times_to_find_three_rows_it_refuses(
    spoil: Callable[[Utterance], None], engine: Engine, store: ResultStore
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE emotion_results ADD CHECK (source <> 'forbidden')")
    chunk = chunk_of(message(at, "да", id=f"id-{at}") for at in range(MANY))
    for at in BAD:
        spoil(chunk.utterances[at])
    buried: list[Rejected] = []

    store.write(chunk, buried.extend)

    assert {item.record.offset for item in buried} == set(BAD)
    assert {item.stage for item in buried} == {"store"}
    assert isinstance(store._rows, CountingWriter)
    assert store._rows.calls <= MOST_CALLS
    with engine.begin() as connection:
        stored = set(connection.exec_driver_sql("SELECT kafka_offset FROM emotion_results").scalars())
        assert stored == set(range(MANY)) - set(BAD)
        assert connection.exec_driver_sql("SELECT next_offset FROM consumer_offsets").scalar() == MANY


@pytest.mark.kafka
def test_three_rows_the_database_refuses_cost_no_other_its_row(flow: Flow) -> None:
    def forbidden(number: int) -> dict[str, str]:
        return {"id": f"bad-{number}", "text": "нет", "source": "forbidden"}

    flow.query("ALTER TABLE emotion_results ADD CHECK (source <> 'forbidden')")
    publish_with(flow, forbidden)
    worker = flow.start(WORKER_MAX_RECORDS=str(MANY))

    assert_only_the_bad_ones_are_dead(flow, "store", forbidden)
    assert worker.stop() == 0

"""The database's stage: outages are sat out, too many dead letters are not."""

from collections.abc import Callable, Sequence
from itertools import repeat

import pytest
from makers import bad_record, chunk_of, partition, utterances

from registry.postgres import DatabaseAway
from worker.claims import Claim, Claimed
from worker.errors import Away, ConfigurationError, RejectedData, TooManyDeadLetters
from worker.observability.health import Health
from worker.observability.metrics import Metrics
from worker.records import Chunk, Rejected
from worker.stages import Storage
from worker.storage.circuit_breaker import DeadLetterLimit


class Store:
    """Keeps chunks in a list; fails as told, after the dead letters were sent, as a commit does."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures
        self.chunks: list[Chunk] = []

    def write(self, chunk: Chunk, bury: Callable[[Sequence[Rejected]], None]) -> None:
        bury(chunk.rejected)
        if self.failures:
            raise self.failures.pop(0)
        self.chunks.append(chunk)

    def claim(self, claims: Sequence[Claim]) -> tuple[Claimed, ...]:
        if self.failures:
            raise self.failures.pop(0)
        return tuple(Claimed(claim, 1, claim.start, None) for claim in claims)


class Topic:
    """A dead-letter topic in a list; fails as told."""

    def __init__(self, failures: list[Exception] | None = None) -> None:
        self.failures = failures or []
        self.sent: list[int] = []

    def send(self, rejected: Sequence[Rejected]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent += [item.record.offset for item in rejected]


def storage(
    store: Store, topic: Topic, in_a_row: int = 100, metrics: Metrics | None = None, health: Health | None = None
) -> Storage:
    limit = DeadLetterLimit(in_a_row, 0.5, in_flight=0)
    return Storage(store, topic, limit, metrics or Metrics(), health or Health(30))  # type: ignore[arg-type]  # Fakes.


def with_dead(first: int, dead: Sequence[int]) -> Chunk:
    """A chunk whose records at these places after the first offset are rejected."""
    return chunk_of([], [Rejected(bad_record(first + at), "decode", ValueError()) for at in dead])


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other at once."""
    monkeypatch.setattr("worker.stages.pauses", lambda: repeat(0.0))


@pytest.mark.usefixtures("no_pauses")
def test_an_outage_of_the_database_is_sat_out_and_the_chunk_is_stored_once() -> None:
    store = Store([Away("down"), Away("down")])
    chunk = chunk_of(utterances(["да"]))
    assert storage(store, Topic())(chunk) is chunk
    assert store.chunks == [chunk]


@pytest.mark.usefixtures("no_pauses")
def test_an_outage_of_the_dead_letter_topic_is_sat_out() -> None:
    store, topic = Store([]), Topic([Away("down")])
    storage(store, topic)(with_dead(0, [0, 1]))
    assert topic.sent == [0, 1]
    assert len(store.chunks) == 1


@pytest.mark.usefixtures("no_pauses")
def test_each_outage_is_counted_by_what_was_away() -> None:
    metrics = Metrics()
    store, topic = Store([DatabaseAway("down"), DatabaseAway("down")]), Topic([Away("down")])

    storage(store, topic, metrics=metrics)(with_dead(0, [0]))

    def count(what: str) -> float | None:
        return metrics.registry.get_sample_value("emotion_outages_total", {"what": what})

    assert (count("postgres"), count("kafka")) == (2, 1)


@pytest.mark.parametrize(
    ("database", "topic", "said"),
    [([DatabaseAway("down")], [], "waiting for postgres since"), ([], [Away("down")], "waiting for kafka since")],
)
def test_readiness_names_what_a_storage_waits_for_until_that_is_back(
    database: list[Exception], topic: list[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health(30)
    health.ready = True
    during: list[str | None] = []
    monkeypatch.setattr("time.sleep", lambda _: during.append(health.readiness_problem()))
    storage(Store(database), Topic(topic), health=health)(with_dead(0, [0]))
    assert said in (during[0] or "")
    assert health.readiness_problem() is None


@pytest.mark.usefixtures("no_pauses")
def test_claims_are_answered_after_an_outage() -> None:
    claim = Claim(partition(0), 5, None)
    assert storage(Store([Away("down")]), Topic())((claim,)) == (Claimed(claim, 1, 5, None),)


@pytest.mark.usefixtures("no_pauses")
def test_a_retry_does_not_count_the_same_dead_letters_again() -> None:
    stage = storage(Store([Away("down")] * 5), Topic(), in_a_row=4)
    stage(with_dead(0, [0, 1]))
    stage(with_dead(2, [0]))
    with pytest.raises(TooManyDeadLetters, match="4 records in a row"):
        stage(with_dead(3, [0]))


def test_garbage_stops_the_worker_before_anything_of_the_chunk_is_sent_or_stored() -> None:
    store, topic = Store([]), Topic()
    with pytest.raises(TooManyDeadLetters):
        storage(store, topic, in_a_row=3)(with_dead(0, [0, 1, 2]))
    assert store.chunks == []
    assert topic.sent == []


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), RejectedData("unexpected"), ZeroDivisionError()])
def test_what_waiting_does_not_mend_is_not_tried_again(error: Exception) -> None:
    store = Store([error])
    with pytest.raises(type(error)):
        storage(store, Topic())(chunk_of(utterances(["да"])))
    assert store.failures == []
    assert store.chunks == []

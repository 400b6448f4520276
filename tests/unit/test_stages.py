"""The threads behind the main one: order, poison, outages, and how a failure comes out."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import stamina
from fakes import POISON, StubClassifier, scores_of
from hypothesis import given
from hypothesis import strategies as st
from makers import bad_record, chunk_of, partition, record, utterances
from numpy.typing import NDArray
from services import wait_for

from schemas.emotions import EMOTIONS
from worker.batching import read
from worker.dead_letters import DeadLetterLimit
from worker.errors import Away, ConfigurationError, RejectedData, TooManyDeadLetters
from worker.metrics import Metrics
from worker.records import Chunk, Claim, Claimed, Rejected
from worker.stages import Done, Inference, Stages, Storage, Work


def inference(classifier: StubClassifier, most_in_a_row: int | None = None) -> Inference:
    return Inference(classifier, Metrics(), most_in_a_row)


@given(st.sets(st.integers(0, 255), min_size=3, max_size=3))
def test_poison_three_bad_texts_in_256_are_found_in_at_most_49_calls_and_the_rest_is_scored(bad: set[int]) -> None:
    classifier = StubClassifier()
    texts = [f"{POISON} {number}" if number in bad else f"текст {number}" for number in range(256)]
    chunk = chunk_of(utterances(texts))
    inference(classifier)(chunk)
    assert classifier.calls <= 2 * 3 * 8 + 1
    assert [item.record.offset for item in chunk.utterances] == [at for at in range(256) if at not in bad]
    assert [item.record.offset for item in chunk.rejected] == sorted(bad)
    assert {item.stage for item in chunk.rejected} == {"classify"}
    for item in chunk.utterances:
        assert item.scores == pytest.approx(scores_of(item.text))
    assert chunk.next_offsets == {partition(0): 256}


def test_a_model_that_rejects_everything_is_no_matter_of_a_few_texts() -> None:
    with pytest.raises(TooManyDeadLetters):
        inference(StubClassifier(), most_in_a_row=10)(chunk_of(utterances([POISON] * 256)))


def test_what_the_decoder_rejected_stays_beside_what_the_model_rejects() -> None:
    undecoded = Rejected(bad_record(2), "decode", ValueError())
    chunk = chunk_of(utterances(["да", POISON]), [undecoded])
    inference(StubClassifier())(chunk)
    assert [(item.record.offset, item.stage) for item in chunk.rejected] == [(2, "decode"), (1, "classify")]


def test_emotions_are_those_at_or_above_their_own_threshold() -> None:
    class Fixed(StubClassifier):
        thresholds = np.array([0.9, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5], np.float32)

        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            return np.tile(np.array([0.8, 0.5, 0.4, 0.25, 0, 0, 1], np.float32), (len(texts), 1))

    chunk = chunk_of(utterances(["да"]))
    inference(Fixed())(chunk)
    assert chunk.utterances[0].emotions == ["disgust", "joy", "neutral"]
    assert chunk.utterances[0].scores == pytest.approx([0.8, 0.5, 0.4, 0.25, 0, 0, 1])


@given(st.lists(st.floats(0, 1, width=32), min_size=7, max_size=7))
def test_every_set_of_emotions_is_named_rightly(scores: list[float]) -> None:
    class Fixed(StubClassifier):
        def classify(self, texts: list[str]) -> NDArray[np.float32]:
            return np.array([scores for _ in texts], np.float32)

    chunk = chunk_of(utterances(["да"]))
    inference(Fixed())(chunk)
    expected = [emotion for emotion, score in zip(EMOTIONS, scores, strict=True) if score >= 0.5]
    assert chunk.utterances[0].emotions == expected


def test_empty_texts_get_no_call_and_no_scores() -> None:
    classifier = StubClassifier()
    chunk = chunk_of(utterances(["", "[laughter]"]))
    inference(classifier)(chunk)
    assert classifier.calls == 0
    assert [(item.scores, item.emotions) for item in chunk.utterances] == [(None, None)] * 2


def test_empty_texts_keep_their_place_between_others() -> None:
    classifier = StubClassifier()
    chunk = chunk_of(utterances(["да", "", "нет"]))
    inference(classifier)(chunk)
    assert classifier.calls == 1
    assert [item.scores is None for item in chunk.utterances] == [False, True, False]
    assert chunk.utterances[2].scores == pytest.approx(scores_of("нет"))


def test_claims_pass_the_model_by() -> None:
    claims = (Claim(partition(0), 5, None),)
    assert inference(StubClassifier())(claims) is claims


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


def storage(store: Store, topic: Topic, in_a_row: int = 100) -> Storage:
    return Storage(store, topic, DeadLetterLimit(in_a_row, 0.5), Metrics())  # type: ignore[arg-type]  # Fakes.


def with_dead(first: int, dead: Sequence[int], healthy: Sequence[int] = ()) -> Chunk:
    """A chunk whose records at these places after the first offset are rejected or healthy."""
    rejected = [Rejected(bad_record(first + at), "decode", ValueError()) for at in dead]
    return chunk_of([read(record(first + at)) for at in healthy], rejected)


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """Retries follow each other at once."""
    with stamina.set_testing(True, attempts=10):
        yield


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


def test_dead_letters_between_healthy_records_are_not_in_a_row() -> None:
    stage = storage(Store([]), Topic(), in_a_row=3)
    stage(with_dead(0, dead=range(0, 40, 2), healthy=range(1, 40, 2)))


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), RejectedData("unexpected"), ZeroDivisionError()])
def test_what_waiting_does_not_mend_is_not_tried_again(error: Exception) -> None:
    store = Store([error])
    with pytest.raises(type(error)):
        storage(store, Topic())(chunk_of(utterances(["да"])))
    assert store.failures == []
    assert store.chunks == []


def collect(stages: Stages, count: int) -> list[Done]:
    """Take what is done until there are so many."""
    done: list[Done] = []

    def enough() -> bool:
        done.extend(stages.done())
        return len(done) >= count

    wait_for(enough, timeout_s=10, what=f"{count} finished")
    return done


def submit(stages: Stages, work: Work) -> None:
    wait_for(lambda: not stages.full, timeout_s=10, what="a place in the stages")
    stages.submit(work)


def same(work: Any) -> Any:
    return work


def test_chunks_and_claims_come_out_in_the_order_in_which_they_went_in() -> None:
    stages = Stages(inference(StubClassifier()), storage(Store([]), Topic()))
    stages.start()
    done: list[Done] = []
    work: list[Work] = []
    for number in range(20):
        chunk = chunk_of(utterances([f"текст {number}"]))
        work.append((Claim(partition(number), 0, None),) if number % 5 == 0 else chunk)
        submit(stages, work[-1])
        done += stages.done()
    done += collect(stages, 20 - len(done))
    assert stages.idle
    stages.close(timeout_s=5)
    for went_in, came_out in zip(work, done, strict=True):
        if isinstance(went_in, Chunk):
            assert came_out is went_in
        else:
            assert isinstance(came_out, tuple)
            assert [claimed.claim for claimed in came_out] == list(went_in)


def test_one_chunk_is_stored_while_the_next_is_classified_and_a_third_waits() -> None:
    classifying, storing, go_on = threading.Event(), threading.Event(), threading.Event()
    chunks = [chunk_of(utterances([text])) for text in ("раз", "два", "три")]

    def classify(work: Work) -> Work:
        if work is chunks[1]:
            classifying.set()
            go_on.wait(10)
        return work

    def store(work: Work) -> Any:
        storing.set()
        go_on.wait(10)
        return work

    stages = Stages(classify, store)
    stages.start()
    for chunk in chunks:
        submit(stages, chunk)
    assert storing.wait(10)
    assert classifying.wait(10)
    assert stages.full
    assert list(stages.done()) == []
    assert not stages.idle
    go_on.set()
    assert collect(stages, 3) == chunks
    stages.close(timeout_s=5)


class StageDied(Exception):
    pass


def die(_: Work) -> Any:
    raise StageDied


@pytest.mark.parametrize(("first", "second"), [(die, same), (same, die)], ids=["inference", "storage"])
def test_what_a_stage_dies_of_reaches_the_main_thread(
    first: Callable[[Work], Work], second: Callable[[Work], Done]
) -> None:
    stages = Stages(first, second)
    stages.start()
    stages.submit(chunk_of(utterances(["да"])))
    with pytest.raises(StageDied):
        collect(stages, 1)
    assert not stages.idle, "its chunk is never done"
    with pytest.raises(StageDied):
        list(stages.done())


def test_what_was_stored_before_a_stage_died_is_handed_out_first() -> None:
    stored = chunk_of(utterances(["раз"]))

    def store(work: Work) -> Any:
        if work is not stored:
            raise StageDied
        return work

    stages = Stages(same, store)
    stages.start()
    stages.submit(stored)
    submit(stages, chunk_of(utterances(["два"])))
    wait_for(lambda: stages._failure, timeout_s=10, what="the end of the stage")
    handed_out = stages.done()
    assert next(handed_out) is stored
    with pytest.raises(StageDied):
        next(handed_out)


def test_closing_ends_both_threads() -> None:
    stages = Stages(same, same)
    stages.start()
    stages.close(timeout_s=5)
    assert [thread.is_alive() for thread in stages._threads] == [False, False]

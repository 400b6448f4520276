"""The threads behind the main one: order, signs of life, the end, and how a failure comes out."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fakes import StubClassifier
from makers import chunk_of, partition, utterances
from services import PATIENCE_S, wait_for

from worker.claims import Claim, Claimed
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Chunk
from worker.stages import Done, Inference, Stages, Work


def collect(stages: Stages, count: int) -> list[Done]:
    """Take a number of done chunks."""
    done: list[Done] = []

    def enough() -> bool:
        done.extend(stages.done())
        return len(done) >= count

    wait_for(enough, what=f"{count} finished")
    return done


def submit(stages: Stages, work: Work) -> None:
    wait_for(lambda: not stages.full, what="a place in the stages")
    stages.submit(work)


def same(work: Any) -> Any:
    return work


def answer(work: Work) -> Done:
    return work if isinstance(work, Chunk) else tuple(Claimed(claim, 1, claim.start, None) for claim in work)


def test_chunks_and_claims_come_out_in_the_order_in_which_they_went_in() -> None:
    stages = Stages(Inference(Serving(StubClassifier()), Metrics(), None), answer)
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
    stages.close(timeout_s=PATIENCE_S)
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
            go_on.wait(PATIENCE_S)
        return work

    def store(work: Work) -> Any:
        storing.set()
        go_on.wait(PATIENCE_S)
        return work

    stages = Stages(classify, store)
    stages.start()
    for chunk in chunks:
        submit(stages, chunk)
    assert storing.wait(PATIENCE_S)
    assert classifying.wait(PATIENCE_S)
    assert stages.full
    assert list(stages.done()) == []
    assert not stages.idle
    go_on.set()
    assert collect(stages, 3) == chunks
    stages.close(timeout_s=PATIENCE_S)


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
    wait_for(lambda: stages._failure, what="the end of the stage")
    handed_out = stages.done()
    assert next(handed_out) is stored
    with pytest.raises(StageDied):
        next(handed_out)


def test_each_stage_that_finishes_something_is_a_step() -> None:
    go_on = threading.Event()

    def store(work: Work) -> Any:
        go_on.wait(PATIENCE_S)
        return work

    stages = Stages(same, store)
    stages.start()
    assert stages.steps == 0
    stages.submit(chunk_of(utterances(["да"])))
    wait_for(lambda: stages.steps == 1, what="the model's step")
    go_on.set()
    collect(stages, 1)
    assert stages.steps == 2
    stages.close(timeout_s=PATIENCE_S)


def test_closing_ends_both_threads() -> None:
    stages = Stages(same, same)
    assert not stages.running
    stages.start()
    assert stages.running
    stages.close(timeout_s=PATIENCE_S)
    assert not stages.running


def test_closing_leaves_a_busy_stage_behind() -> None:
    go_on = threading.Event()

    def classify(work: Work) -> Work:
        go_on.wait(PATIENCE_S)
        return work

    stages = Stages(classify, same)
    stages.start()
    stages.submit(chunk_of(utterances(["да"])))
    stages.close(timeout_s=0)
    assert stages.running
    go_on.set()
    collect(stages, 1)
    stages.close(timeout_s=PATIENCE_S)
    assert not stages.running

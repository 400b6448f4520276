"""Liveness fails when the worker is stuck, not when there is nothing to do."""

import re
import threading

import pytest

from worker.observability.health import Health


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(30, clock)


def turn_for(seconds: int, clock: Clock, health: Health, *, waiting: bool, progressed: bool = False) -> None:
    """Turn the loop once a second."""
    for _ in range(seconds):
        clock.now += 1
        health.note_turn(waiting=waiting, progressed=progressed)


def test_a_new_worker_is_alive_and_not_ready(health: Health) -> None:
    assert health.liveness_problem() is None
    assert not health.ready


def test_an_idle_worker_stays_alive_for_hours(clock: Clock, health: Health) -> None:
    turn_for(7_200, clock, health, waiting=False)
    assert health.liveness_problem() is None


def test_records_that_wait_and_are_not_stored_make_it_complain_after_the_time_set(clock: Clock, health: Health) -> None:
    turn_for(31, clock, health, waiting=True)
    assert health.liveness_problem() is None, "30 s since the first of these turns"
    turn_for(1, clock, health, waiting=True)
    assert health.liveness_problem() == "records wait, and nothing was classified or stored for 31 s"


def test_records_that_come_after_a_long_idle_time_get_the_full_time(clock: Clock, health: Health) -> None:
    turn_for(7_200, clock, health, waiting=False)
    turn_for(30, clock, health, waiting=True)
    assert health.liveness_problem() is None


def test_a_backlog_is_no_complaint_while_chunks_are_stored(clock: Clock, health: Health) -> None:
    for _ in range(100):
        turn_for(20, clock, health, waiting=True)
        turn_for(1, clock, health, waiting=True, progressed=True)
        assert health.liveness_problem() is None


def test_a_stored_chunk_ends_the_complaint(clock: Clock, health: Health) -> None:
    turn_for(100, clock, health, waiting=True)
    assert health.liveness_problem()
    turn_for(1, clock, health, waiting=True, progressed=True)
    assert health.liveness_problem() is None


def test_a_main_loop_that_hangs_makes_it_complain_even_when_nothing_waits(clock: Clock, health: Health) -> None:
    turn_for(5, clock, health, waiting=False)
    clock.now += 31
    assert health.liveness_problem() == "the main loop has not turned for 31 s"


def test_a_model_that_loads_for_long_is_no_complaint_but_is_not_ready(clock: Clock, health: Health) -> None:
    clock.now += 7_200
    assert health.liveness_problem() is None
    assert not health.ready


def test_the_time_that_a_model_loaded_does_not_count_once_records_wait(clock: Clock, health: Health) -> None:
    clock.now += 7_200
    turn_for(30, clock, health, waiting=True)
    assert health.liveness_problem() is None


def test_an_outage_that_is_waited_out_is_alive_and_not_ready_and_readiness_says_why(
    clock: Clock, health: Health
) -> None:
    health.ready = True
    health.note_absence("postgres", "connection refused")
    turn_for(7_200, clock, health, waiting=True)
    health.note_absence("postgres", "the database system is starting up")

    assert health.liveness_problem() is None
    said = health.readiness_problem() or ""
    assert re.fullmatch(r"waiting for postgres since \d{4}-\S+\+00:00: the database system is starting up", said)

    health.note_return("postgres")
    turn_for(30, clock, health, waiting=True)
    assert health.liveness_problem() is None, "the time that is set begins when the outage ends"
    assert health.readiness_problem() is None
    turn_for(1, clock, health, waiting=True)
    assert health.liveness_problem()


def test_a_main_loop_that_hangs_makes_it_complain_during_an_outage_too(clock: Clock, health: Health) -> None:
    turn_for(5, clock, health, waiting=True)
    health.note_absence("postgres", "connection refused")
    clock.now += 31
    assert health.liveness_problem() == health.readiness_problem() == "the main loop has not turned for 31 s"


def test_a_service_is_away_until_it_has_answered_each_thread_that_waits_for_it(health: Health) -> None:
    def from_elsewhere(note: str, *words: str) -> None:
        thread = threading.Thread(target=getattr(health, note), args=words)
        thread.start()
        thread.join()

    health.ready = True
    health.note_absence("postgres", "here")
    from_elsewhere("note_absence", "kafka", "there")
    said = health.readiness_problem() or ""
    assert said.startswith("waiting for postgres since")
    assert "; waiting for kafka since" in said

    from_elsewhere("note_return", "postgres")
    assert "waiting for postgres" in (health.readiness_problem() or ""), "another thread still waits for it"
    health.note_return("postgres")
    assert "waiting for postgres" not in (health.readiness_problem() or "")


def test_readiness_tells_a_start_from_a_group_that_has_not_let_the_worker_in(clock: Clock, health: Health) -> None:
    assert "starting" in (health.readiness_problem() or "")
    turn_for(1, clock, health, waiting=False)
    assert "not a member of the consumer group yet" in (health.readiness_problem() or "")
    health.ready = True
    assert health.readiness_problem() is None

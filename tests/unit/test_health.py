"""Liveness fails when the worker is stuck, not when there is nothing to do."""

import pytest

from worker.health import Health


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
        health.turned(waiting=waiting, progressed=progressed)


def test_a_new_worker_is_alive_and_not_ready(health: Health) -> None:
    assert health.complaint() is None
    assert not health.ready


def test_an_idle_worker_stays_alive_for_hours(clock: Clock, health: Health) -> None:
    turn_for(7_200, clock, health, waiting=False)
    assert health.complaint() is None


def test_records_that_wait_and_are_not_stored_make_it_complain_after_the_time_set(clock: Clock, health: Health) -> None:
    turn_for(31, clock, health, waiting=True)
    assert health.complaint() is None, "30 s since the first of these turns"
    turn_for(1, clock, health, waiting=True)
    assert health.complaint() == "records wait, and nothing was classified or stored for 31 s"


def test_records_that_come_after_a_long_idle_time_get_the_full_time(clock: Clock, health: Health) -> None:
    turn_for(7_200, clock, health, waiting=False)
    turn_for(30, clock, health, waiting=True)
    assert health.complaint() is None


def test_a_backlog_is_no_complaint_while_chunks_are_stored(clock: Clock, health: Health) -> None:
    for _ in range(100):
        turn_for(20, clock, health, waiting=True)
        turn_for(1, clock, health, waiting=True, progressed=True)
        assert health.complaint() is None


def test_a_stored_chunk_ends_the_complaint(clock: Clock, health: Health) -> None:
    turn_for(100, clock, health, waiting=True)
    assert health.complaint()
    turn_for(1, clock, health, waiting=True, progressed=True)
    assert health.complaint() is None


def test_a_main_loop_that_hangs_makes_it_complain_even_when_nothing_waits(clock: Clock, health: Health) -> None:
    turn_for(5, clock, health, waiting=False)
    clock.now += 31
    assert health.complaint() == "the main loop has not turned for 31 s"


def test_a_model_that_loads_for_long_is_no_complaint_but_is_not_ready(clock: Clock, health: Health) -> None:
    clock.now += 7_200
    assert health.complaint() is None
    assert not health.ready


def test_the_time_that_a_model_loaded_does_not_count_once_records_wait(clock: Clock, health: Health) -> None:
    clock.now += 7_200
    turn_for(30, clock, health, waiting=True)
    assert health.complaint() is None

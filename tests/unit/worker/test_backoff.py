"""What is away is waited for; what is wrong, or a stop, ends the waiting."""

import itertools
import threading

import pytest
from structlog.testing import capture_logs

from worker.backoff import RetryLater, Stopped, pauses, wait_for
from worker.errors import Away, ConfigurationError


def test_it_tries_until_the_service_is_there_and_returns_the_answer() -> None:
    answers = iter([Away("down"), Away("still down"), "connected"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, Away):
            raise answer
        return str(answer)

    with capture_logs() as lines:
        assert wait_for("kafka", attempt, threading.Event()) == "connected"
    assert [(line["service"], line["error"]) for line in lines] == [("kafka", "down"), ("kafka", "still down")]


def test_a_service_that_refuses_us_is_not_waited_for() -> None:
    def attempt() -> None:
        raise ConfigurationError("wrong password")

    with pytest.raises(ConfigurationError, match="wrong password"):
        wait_for("postgres", attempt, threading.Event())


def test_a_stop_ends_the_waiting_without_another_attempt() -> None:
    stop, attempts = threading.Event(), []

    def attempt() -> None:
        attempts.append("tried")
        stop.set()
        raise Away("down")

    for _ in range(2):
        with pytest.raises(Stopped):
            wait_for("kafka", attempt, stop)
    assert attempts == ["tried"]


def test_pauses_grow_from_a_moment_to_some_seconds() -> None:
    first, *rest = itertools.islice(pauses(), 30)
    assert 0.05 <= first <= 0.15
    assert 2.5 <= min(rest[10:]) <= max(rest[10:]) <= 7.5


def test_what_is_broken_rests_longer_each_time_but_less_long_than_the_alerts_look_back() -> None:
    now = 0.0
    refused = RetryLater(30, lambda: now)
    rests = []
    for _ in range(7):
        refused.add("two")
        start = now
        while refused.rests("two"):
            now += 30
        rests.append(now - start)
    assert rests == [30, 60, 120, 240, 480, 600, 600]


def test_another_thing_and_one_that_is_asked_for_again_rest_no_longer() -> None:
    refused = RetryLater(3600, lambda: 0.0)
    refused.add("two")
    assert (refused.rests("two"), refused.rests("one")) == (True, False)
    refused.forget()
    assert not refused.rests("two")

"""SIGTERM and SIGINT end a worker with exit code 0, wherever they find it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from worker.signals import ended_by_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def _failing_clean_up() -> Iterator[None]:
    try:
        yield
    finally:
        raise RuntimeError("cannot join thread before it is started")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    stop = threading.Event()
    with pytest.raises(SystemExit) as end, ended_by_signals(stop):
        signal.raise_signal(number)
    assert end.value.code == 0
    assert stop.is_set()


@pytest.mark.parametrize("number", NUMBERS)
def test_an_error_of_who_cleans_up_after_a_signal_is_no_failure(number: signal.Signals) -> None:
    with pytest.raises(SystemExit) as end, ended_by_signals(threading.Event()), _failing_clean_up():
        signal.raise_signal(number)
    assert end.value.code == 0


def test_an_error_without_a_signal_is_raised() -> None:
    with pytest.raises(RuntimeError, match="disk"), ended_by_signals(threading.Event()):
        raise RuntimeError("disk")


def test_after_the_block_a_signal_only_sets_the_event() -> None:
    stop = threading.Event()
    with ended_by_signals(stop):
        pass
    signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()

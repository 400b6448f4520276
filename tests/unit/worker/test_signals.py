"""SIGTERM and SIGINT end a worker with exit code 0, wherever they find it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from services import PATIENCE_S

from worker.signals import stop_on_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)

LIBRARIES = {
    "lets it through": "raise_signal(number)",
    "swallows it": """\
try:
    raise_signal(number)
except BaseException:
    pass
""",
    "fails in its clean-up": """\
try:
    raise_signal(number)
finally:
    raise RuntimeError("cannot join thread before it is started")
""",
    "hangs in its clean-up": """\
try:
    raise_signal(number)
finally:
    threading.Event().wait()
""",
}
"""What a library may make of a signal that comes while it works."""


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_signal_ends_a_starting_worker_whatever_library_it_comes_upon(library: str, number: signal.Signals) -> None:
    code = f"""\
import sys, threading
from signal import raise_signal
from worker.signals import end_on_signals
number = {int(number)}
end_on_signals()
{LIBRARIES[library]}
sys.exit("the signal has not ended it")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_to_a_running_worker_only_sets_the_event(number: signal.Signals) -> None:
    stop = threading.Event()
    stop_on_signals(stop)
    signal.raise_signal(number)
    assert stop.wait(PATIENCE_S)


@pytest.mark.usefixtures("_handlers")
def test_a_signal_does_not_wait_for_the_event_that_the_main_thread_waits_for() -> None:
    stop = threading.Event()
    stop_on_signals(stop)
    with stop._cond:  # type: ignore[attr-defined]  # As within stop.wait().
        signal.raise_signal(signal.SIGTERM)
    assert stop.wait(PATIENCE_S)

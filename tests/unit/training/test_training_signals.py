"""What SIGTERM and Ctrl-C do to a run."""

import os
import signal

import pytest

from training.signals import SIGNALS, Interrupted, StopSignal, on_signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_interrupts_what_nothing_holds(number: signal.Signals, code: int) -> None:
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as interrupted, on_signals() as stop:
        os.kill(os.getpid(), number)
    assert stop.is_set()
    assert interrupted.value.exit_code == code


def test_what_is_held_goes_on_to_its_end() -> None:
    done = []
    with pytest.raises(Interrupted), on_signals() as stop, stop.held():  # noqa: PT012 - the end of the block is the subject.
        with stop.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_an_error_in_what_is_held_is_not_hidden() -> None:
    stop = StopSignal()
    with pytest.raises(ZeroDivisionError), stop.held():  # noqa: PT012 - as above.
        stop.heed(signal.SIGTERM)
        raise ZeroDivisionError
    with pytest.raises(Interrupted):
        stop.check()


def test_an_error_after_a_signal_counts_as_the_interruption() -> None:
    """Libraries such as SQLAlchemy may turn an interruption into an error of their own."""
    with pytest.raises(Interrupted) as interrupted, on_signals():  # noqa: PT012 - as above.
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise ZeroDivisionError
    assert isinstance(interrupted.value.__cause__, ZeroDivisionError)


class Finalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_interruption_got_lost_counts_as_the_block_ends() -> None:
    """Python drops what is raised while it finalizes an object."""
    done = []
    with pytest.raises(Interrupted), on_signals():  # noqa: PT012 - as above.
        Finalized()
        done.append("released")
    assert done == ["released"]


def test_what_is_released_within_what_is_held_is_interrupted() -> None:
    done = []
    with pytest.raises(Interrupted), on_signals() as stop, stop.held():  # noqa: PT012 - as above.
        try:
            with stop.released():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("released")
        finally:
            done.append("held")
    assert done == ["held"]


def test_a_signal_that_came_while_it_was_held_interrupts_before_what_is_released() -> None:
    done = []
    with pytest.raises(Interrupted), on_signals() as stop, stop.held():  # noqa: PT012 - as above.
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("held")
        with stop.released():
            done.append("released")
    assert done == ["held"]


def test_further_signals_change_nothing() -> None:
    stop = StopSignal()
    with pytest.raises(Interrupted):
        stop.heed(signal.SIGINT)
    stop.heed(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        stop.check()


def test_without_a_signal_nothing_happens() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with on_signals() as stop, stop.held():
        stop.check()
    assert not stop.is_set()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_an_interruption_passes_whoever_sorts_errors() -> None:
    assert not issubclass(Interrupted, Exception)

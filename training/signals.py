"""SIGTERM and Ctrl-C end a run where it can go on later, rather than anywhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from registry.errors import first_line

log = structlog.get_logger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """A signal ended a run; started again, the run goes on from its last checkpoint.

    It is no Exception, as KeyboardInterrupt is none: whoever sorts errors must not take it for one.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell makes of an end by the signal: 143 of SIGTERM, 130 of Ctrl-C."""
        return 128 + self.number


class StopSignal:
    """Set by the first SIGTERM or SIGINT since `on_signals`; those that follow change nothing.

    The signal raises `Interrupted` wherever the main thread is, as Ctrl-C raises KeyboardInterrupt: loading a model or
    scoring texts is done again. Only what is `held` goes on, to an end of its own: a fit to a checkpoint, a question to
    the database to its answer, a promotion to its row.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._held = False

    def is_set(self) -> bool:
        """Return whether a signal came."""
        return self._number is not None

    def set(self, number: int = signal.SIGTERM) -> None:
        """Have a signal come, without raising anything."""
        self._number = self._number or number

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal interrupt nothing until the block ends.

        Raises:
            Interrupted: as the block ends, where a signal came.
        """
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before
        self.check()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let a signal interrupt the block, though the code around it is held.

        Libraries such as SQLAlchemy may turn an interruption into an error of their own. So an error that leaves the
        block after a signal counts as the interruption.

        Raises:
            Interrupted: a signal came before the block, within it, or before an error that leaves it.
        """
        before, self._held = self._held, False
        try:
            self.check()
            yield
            # Python drops what a signal's handler raises while an object is finalized.
            self.check()
        except Exception as error:
            if self._number is None:
                raise
            log.warning("an error came after the signal", error=type(error).__name__, problem=first_line(error))
            raise Interrupted(self._number) from error
        finally:
            self._held = before

    def check(self) -> None:
        """Raise `Interrupted`, if a signal came and nothing is held."""
        if self._number is not None and not self._held:
            raise Interrupted(self._number)

    def heed(self, number: int, _frame: object = None) -> None:
        """Take a signal, as its handler."""
        if not self.is_set():
            self.set(number)
            self.check()


@contextmanager
def on_signals() -> Iterator[StopSignal]:
    """Have a StopSignal set by SIGTERM and SIGINT, in the main thread only, until the block ends.

    Raises:
        Interrupted: see `StopSignal.released`.
    """
    stop = StopSignal()
    before = {number: signal.signal(number, stop.heed) for number in SIGNALS}
    try:
        with stop.released():
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""SIGTERM and Ctrl-C end a worker."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)


def stop_on_signals(stop: threading.Event, *, at_once: bool = False) -> None:
    """Set an event at SIGTERM or SIGINT; also where a shell that starts jobs in the background has SIGINT ignored.

    Args:
        stop: the event.
        at_once: end the process, too, with exit code 0.
    """

    def heed(*_: object) -> None:
        stop.set()
        if at_once:
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heed)


@contextmanager
def ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM or SIGINT end the block and the process at once; afterwards, a signal only sets the event.

    A signal may come anywhere in a library, which may turn the end into an error of its own or fail to clean up.
    So an error that leaves the block after a signal counts as the end.

    Args:
        stop: set by a signal.

    Raises:
        SystemExit: a signal came; the exit code is 0.
    """
    stop_on_signals(stop, at_once=True)
    try:
        yield
    except Exception as error:
        if not stop.is_set():
            raise
        log.warning("an error came after the signal", error=type(error).__name__)
        sys.exit(0)
    stop_on_signals(stop)

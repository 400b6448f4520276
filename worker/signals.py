"""SIGTERM and Ctrl-C end a worker."""

import signal
import sys
import threading


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

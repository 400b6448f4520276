"""SIGTERM and Ctrl-C end a worker."""

import _thread
import os
import signal
import threading
from collections.abc import Callable


def stop_on_signals(stop: threading.Event) -> None:
    """Set an event at SIGTERM or SIGINT; also where a shell that starts jobs in the background has SIGINT ignored."""
    # Another thread sets it: this one may be waiting for the event, with its lock in hand.
    _on_signals(lambda: _thread.start_new_thread(stop.set, ()))


def end_on_signals() -> None:
    """End the process with exit code 0 at SIGTERM or SIGINT, while there is nothing to finish.

    An exception would not do. It may come anywhere in a library, which may swallow it, make another of it, or wait for
    ever as it cleans up: Kafka's client does so for a thread that it has just started.
    """
    _on_signals(lambda: os._exit(0))


def _on_signals(act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: act())

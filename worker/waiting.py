"""Wait for what is away, stop for what is wrong."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import structlog

from worker.errors import Away

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Stopped(Exception):
    """Told to stop while a service was waited for."""


def pauses() -> Iterator[float]:
    """Yield seconds to wait after each failure in a row: twice as long each time, with jitter, about 5 at most."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(5.0, pause * 2)


def wait_for(service: str, attempt: Callable[[], T], stop: threading.Event) -> T:
    """Try until the service is there, and return what the attempt returns.

    Args:
        service: its name, for the log.
        attempt: raises Away while the service cannot be reached.
        stop: ends the waiting.

    Raises:
        Stopped: told to stop.
        ConfigurationError: from the attempt: the service is there but refuses us.
    """
    failures = pauses()
    while not stop.is_set():
        try:
            return attempt()
        except Away as error:
            pause_s = next(failures)
            log.warning(
                "waiting for a service that is away", service=service, error=str(error), in_seconds=round(pause_s, 2)
            )
            stop.wait(pause_s)
    raise Stopped

"""Wait for what is away, stop for what is wrong."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import structlog

from worker.errors import Away
from worker.observability.health import Health

T = TypeVar("T")

log = structlog.get_logger(__name__)

_LONGEST_PAUSE_S: Final = 5.0
"""Between two tries of what is away; source: docs/runbook.md, which promises it."""

_LONGEST_S: Final = 600.0
"""Between two tries of what is broken: less than the 15 minutes that the alerts look back, so that they stay."""


class Stopped(Exception):
    """Told to stop while a service was waited for."""


def pauses() -> Iterator[float]:
    """Yield seconds to wait after each failure in a row: twice as long each time, with jitter, 5 at most."""
    pause = 0.1
    while True:
        yield min(_LONGEST_PAUSE_S, pause * random.uniform(0.5, 1.5))
        pause = min(_LONGEST_PAUSE_S, pause * 2)


def wait_for(service: str, attempt: Callable[[], T], stop: threading.Event, health: Health | None = None) -> T:
    """Try until the service is there, and return what the attempt returns.

    Args:
        service: its name, for the log and the health.
        attempt: raises Away while the service cannot be reached.
        stop: ends the waiting.
        health: is told while the service is away, where given.

    Raises:
        Stopped: told to stop.
        ConfigurationError: from the attempt: the service is there but refuses us.
    """
    failures = pauses()
    while not stop.is_set():
        try:
            found = attempt()
        except Away as error:
            pause_s = next(failures)
            if health:
                health.note_absence(service, str(error))
            log.warning(
                "waiting for a service that is away", service=service, error=str(error), in_seconds=round(pause_s, 2)
            )
            stop.wait(pause_s)
            continue
        if health:
            health.note_return(service)
        return found
    raise Stopped


class RetryLater:
    """What was found to be broken, and when it is worth another try: each time after twice as long, up to 10 minutes.

    Args:
        pause_s: seconds until the second try.
        clock: returns seconds, as `time.monotonic` does.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first_s = pause_s
        self._clock = clock
        self._thing: object = None
        self._pause_s = self._due = 0.0

    def add(self, thing: object) -> None:
        """Note that a try has just failed."""
        again = thing == self._thing
        self._pause_s = max(self._first_s, min(_LONGEST_S, self._pause_s * 2)) if again else self._first_s
        self._thing, self._due = thing, self._clock() + self._pause_s

    def rests(self, thing: object) -> bool:
        """Whether it is to be left alone now."""
        return thing == self._thing and self._clock() < self._due

    def forget(self) -> None:
        """Let the next try come at once."""
        self._thing = None

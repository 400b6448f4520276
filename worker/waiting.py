"""At the start: wait for what is away, stop for what is wrong."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import structlog

from worker.errors import Away

log = structlog.get_logger(__name__)


def pauses() -> Iterator[float]:
    """Yield seconds to wait after each failure in a row: twice as long each time, with jitter, about 5 at most."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(5.0, pause * 2)


def wait_for_services(stop: threading.Event, **checks: Callable[[], Any]) -> None:
    """Run each check until it passes.

    Args:
        stop: ends the waiting.
        checks: by name of the service; each raises Away while it cannot be reached.

    Raises:
        ConfigurationError: from a check: the service is there but refuses us.
    """
    for name, check in checks.items():
        for pause_s in pauses():
            if stop.is_set():
                return
            try:
                check()
                break
            except Away as error:
                log.warning(
                    "waiting for a service that is away", service=name, error=str(error), in_seconds=round(pause_s, 2)
                )
                stop.wait(pause_s)

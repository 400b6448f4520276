"""Liveness and readiness: whether the worker gets on, and whether it takes part."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple


class _Outage(NamedTuple):
    why: str
    since: datetime


class Health:
    """Whether the worker gets on; written by the main thread and by those that store, read by the server's.

    An outage that is waited out is no fault of the worker: it is alive, since a restart would mend nothing, and it is
    not ready.

    Args:
        stuck_after_s: seconds without a classified or stored record, while records wait, after which it is stuck.
        clock: monotonic seconds; tests move it.
    """

    def __init__(self, stuck_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._turned_at: float | None = None
        self._progressed_at = clock()
        self._waiting = False
        self._lock = threading.Lock()
        self._outages: dict[tuple[str, int], _Outage] = {}
        self._failure: str | None = None
        self.ready = False
        """Whether the group has let us in and every partition we were given is claimed."""

    def note_turn(self, *, waiting: bool, progressed: bool) -> None:
        """Note a turn of the main loop: whether records wait, and whether some got further."""
        now = self._turned_at = self._clock()
        if progressed or self._outages or not (waiting and self._waiting):
            self._progressed_at = now
        self._waiting = waiting

    def note_absence(self, service: str, why: str) -> None:
        """Note that a service cannot be reached and is waited for; each thread says so for itself.

        Args:
            service: its name.
            why: what the last try has met.
        """
        key = service, threading.get_ident()
        with self._lock:
            known = self._outages.get(key)
            self._outages[key] = _Outage(why, known.since if known else datetime.now(UTC))

    def note_return(self, service: str) -> None:
        """Note that a service answers this thread, whether or not it was away before."""
        if self._outages:
            with self._lock:
                self._outages.pop((service, threading.get_ident()), None)

    def fail(self, why: str) -> None:
        """Note that the worker has stopped for a reason that a person must mend."""
        self._failure = why

    def liveness_problem(self) -> str | None:
        """Return what a restart or a person may mend, or None; before the first turn, a model may load for long."""
        if self._failure is not None:
            return f"stopped, and needs a person: {self._failure}"
        if self._turned_at is None:
            return None
        now = self._clock()
        if now - self._turned_at > self._stuck_after_s:
            return f"the main loop has not turned for {now - self._turned_at:.0f} s"
        if self._waiting and not self._outages and now - self._progressed_at > self._stuck_after_s:
            return f"records wait, and nothing was classified or stored for {now - self._progressed_at:.0f} s"
        return None

    def readiness_problem(self) -> str | None:
        """Return why the worker takes no part now, or None when it does."""
        if said := self.liveness_problem() or self._absences():
            return said
        if self.ready:
            return None
        if self._turned_at is None:
            return "starting: the model is loaded, or the first poll is not done yet"
        return "not a member of the consumer group yet, or partitions are not claimed yet"

    def _absences(self) -> str:
        """Return which services are away, each since when and why."""
        first: dict[str, _Outage] = {}
        with self._lock:
            for (service, _), outage in sorted(self._outages.items(), key=lambda item: item[1].since):
                first.setdefault(service, outage)
        return "; ".join(
            f"waiting for {service} since {since.isoformat(timespec='seconds')}: {why}"
            for service, (why, since) in first.items()
        )

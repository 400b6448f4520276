"""The registry's champion: served from the start, and swapped in while messages flow when another is promoted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import psycopg
import structlog
from sqlalchemy import Connection, Engine

from registry.errors import BrokenBundle, UnknownProtocol, UnusableLocation, first_line
from registry.versions import CHANNEL, ModelVersion, champion, fetch
from worker.database import database_problems
from worker.errors import Away, ConfigurationError, RejectedData
from worker.metrics import Metrics
from worker.records import Classifier
from worker.serving import Serving
from worker.waiting import pauses

log = structlog.get_logger(__name__)

Load = Callable[[ModelVersion], Classifier]
"""Fetches, loads and warms a version; raises Away or ConfigurationError."""

_HEED_S: Final = 0.2
"""How often a thread that waits for Postgres looks whether it is to end."""

_REMEDY: Final = "roll back with `emotion-training models rollback`, or set WORKER_MODEL"


def fetch_version(row: ModelVersion, cache: Path) -> str:
    """Return a folder that holds a version's bundle.

    Args:
        row: the version.
        cache: folder for what is downloaded; ~ is the user's home.

    Raises:
        Away: the bundle cannot be reached now.
        ConfigurationError: it can, and is damaged, another one or none for this version of the code; or nothing here
            opens its URL.
    """
    try:
        return str(fetch(row, cache.expanduser()))
    except (BrokenBundle, UnknownProtocol) as error:
        raise ConfigurationError(str(error)) from error
    except UnusableLocation as error:
        raise Away(str(error)) from error


def load_champion(engine: Engine, load: Load) -> Classifier | None:
    """Load the model to begin with; None where nothing was ever promoted.

    Raises:
        Away: Postgres or the bundle cannot be reached now.
        ConfigurationError: the champion cannot be served; the message says what to do.
    """
    with database_problems(), engine.connect() as connection:
        row = champion(connection)
    if row is None:
        return None
    try:
        return load(row)
    except (ConfigurationError, RejectedData) as error:
        why = str(error).rstrip(".")
        raise ConfigurationError(f"the champion {row.version} cannot be served: {why}. Or {_REMEDY}") from error


class Follower:
    """A thread that loads each new champion beside the model that serves, and puts it in its place.

    Postgres tells of a promotion; a look from time to time finds what got lost, as it does behind a pooler. Whatever is
    the matter with a champion or with the registry, the model that serves goes on serving.

    Args:
        engine: of the database; one connection of it is kept.
        serving: where the model that serves is.
        load: makes a model of a version.
        metrics: tells which model serves, and whether it is the champion.
        poll_s: seconds between looks.
    """

    def __init__(self, engine: Engine, serving: Serving, load: Load, metrics: Metrics, poll_s: float) -> None:
        self._engine = engine
        self._serving = serving
        self._load = load
        self._metrics = metrics
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._pauses = pauses()
        self._told: tuple[str, type[Exception]] | None = None
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float = 1) -> None:
        """End the thread; one that is in the middle of loading a model is left behind, as a daemon."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with database_problems(), self._engine.connect() as connection:
                    self._follow(connection)
            except Exception as error:  # noqa: BLE001 - a thread's entry point: whatever it is, serving goes on.
                pause_s = next(self._pauses)
                log.warning(
                    "the registry cannot be read: the model goes on serving, promotions are heeded when it can",
                    error=str(error),
                    in_seconds=round(pause_s, 2),
                )
                self._stop.wait(pause_s)

    def _follow(self, connection: Connection) -> None:
        try:
            with connection.begin():
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
            while not self._stop.is_set():
                self.look(connection)
                self._pauses = pauses()
                self._wait(cast("psycopg.Connection[Any]", connection.connection.driver_connection))
        except psycopg.Error as error:
            # The pool cannot know, since the driver was asked behind its back.
            connection.invalidate(error)
            raise

    def _wait(self, driver: psycopg.Connection[Any]) -> None:
        """Return when there may be another champion."""
        end = time.monotonic() + self._poll_s
        while not self._stop.is_set() and (left_s := end - time.monotonic()) > 0:
            if list(driver.notifies(timeout=min(left_s, _HEED_S), stop_after=1)):
                break

    def look(self, connection: Connection) -> None:
        """Serve the champion, if it is another one than the model that serves, and can be."""
        start = time.monotonic()
        serving = self._serving.classifier.version
        row = _champion(connection)
        behind = row is not None and row.version != serving
        self._metrics.behind.set(behind)
        if row is None or not behind:
            self._told = None
            return
        try:
            classifier = self._load(row)
        except Exception as error:  # noqa: BLE001 - a bundle is foreign: whatever loading it raises, serving goes on.
            self._refuse(row.version, error)
            return
        now = _champion(connection)
        if now is None or now.version != row.version:
            return  # It was rolled back meanwhile; the word of that is waiting.
        self._serving.classifier = classifier
        self._metrics.serve_model(row.version)
        self._metrics.behind.set(0)
        self._told = None
        log.info(
            "another model serves", version=row.version, before=serving, seconds=round(time.monotonic() - start, 2)
        )

    def _refuse(self, version: str, error: Exception) -> None:
        """Count each failure, and tell of it once."""
        self._metrics.swap_failures.inc()
        if self._told != (version, type(error)):
            self._told = (version, type(error))
            # TRY400: a trace says no more to whoever has to act, and a bundle that cannot be read is no bug of ours.
            log.error(
                "the champion cannot be served: the old model goes on serving, and the champion is tried again",
                champion=version,
                serving=self._serving.classifier.version,
                error=first_line(error),
                remedy=_REMEDY,
            )


def _champion(connection: Connection) -> ModelVersion | None:
    with connection.begin():
        return champion(connection)

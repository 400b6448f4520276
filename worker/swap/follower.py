"""The registry's champion: served from the start, and swapped in while messages flow when another is promoted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import psycopg
import structlog
from sqlalchemy import Connection, Engine

from registry.cache import keep
from registry.contents import Bundle
from registry.errors import BrokenBundle, UnknownProtocol, UnusableLocation, first_line
from registry.versions import CHANNEL, ModelVersion, champion, champion_before, fetch
from schemas.errors import UserError
from worker.backoff import RetryLater, pauses
from worker.errors import Away, ConfigurationError, loggable_text
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Classifier
from worker.settings import Settings
from worker.storage.database import database_problems

log = structlog.get_logger(__name__)

Load = Callable[[ModelVersion], Classifier]
"""Fetches, loads and warms a version; raises Away or ConfigurationError."""

_HEED_S: Final = 0.2
"""How often a thread that waits for Postgres looks whether it is to end."""

_REMEDY: Final = "roll back with `emotion-training models rollback`, or set WORKER_MODEL"


class Refusal(NamedTuple):
    """A champion that cannot be served, and the kind of error that says so."""

    version: str
    kind: type[Exception]


class Beginning(NamedTuple):
    """The model to begin with, and the champion in whose stead it serves, if it does."""

    classifier: Classifier
    refusal: Refusal | None


def fetch_version(row: ModelVersion, cache: Path) -> Bundle:
    """Return a version's bundle in a folder.

    Args:
        row: the version.
        cache: folder for what is downloaded; ~ is the user's home.

    Raises:
        Away: the bundle cannot be reached now.
        ConfigurationError: it can, and is damaged, another one or none for this version of the code; or nothing here
            opens its URL.
    """
    try:
        return fetch(row, cache.expanduser())
    except (BrokenBundle, UnknownProtocol) as error:
        raise ConfigurationError(str(error)) from error
    except UnusableLocation as error:
        raise Away(str(error)) from error


def load_champion(engine: Engine, load: Load, load_released: Callable[[], Classifier]) -> Beginning:
    """Load the model to begin with: the champion, else the one before it, else the released one.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        load: makes a model of a version.
        load_released: makes the one that serves while nothing was ever promoted.

    Raises:
        Away: Postgres or the champion's bundle cannot be reached now.
        ConfigurationError: nothing at all can be served; the message says what to do.
    """
    with database_problems(), engine.connect() as connection:
        row, before = champion(connection), champion_before(connection)
    if row is None:
        return Beginning(load_released(), None)
    try:
        return Beginning(load(row), None)
    except Away:
        raise
    except Exception as error:  # noqa: BLE001 - a bundle is foreign: loading it may raise anything, and another may serve.
        refusal, why = Refusal(row.version, type(error)), first_line(error).rstrip(".")
    try:
        classifier = _instead(load, before) or load_released()
    except UserError as error:
        raise ConfigurationError(f"the champion {row.version} cannot be served: {why}. Or {_REMEDY}") from error
    log.error(
        "the champion cannot be served: another model stands in for it, and the champion is tried again",
        champion=row.version,
        serving=classifier.version,
        error=why,
        remedy=_REMEDY,
    )
    return Beginning(classifier, refusal)


def _instead(load: Load, before: ModelVersion | None) -> Classifier | None:
    """Return the champion before, if there is one that loads."""
    try:
        return before and load(before)
    except Exception as error:  # noqa: BLE001 - as above.
        log.warning("nor can the champion before it", version=before and before.version, error=first_line(error))
        return None


class Follower:
    """A thread that loads each new champion while the old one serves, and puts it in its place.

    Postgres tells of a promotion; a look from time to time finds what got lost, as it does behind a pooler. Whatever is
    the matter with a champion or with the registry, the model that serves goes on serving.

    Args:
        engine: SQLAlchemy engine connected to the results database; one connection of it is kept.
        serving: where the model that serves is.
        load: makes a model of a version.
        metrics: tells which model serves, and whether it is the champion.
        settings: how often to look, and the cache that is to hold the bundle that serves and the one before.
    """

    def __init__(self, engine: Engine, serving: Serving, load: Load, metrics: Metrics, settings: Settings) -> None:
        self._engine = engine
        self._serving = serving
        self._load = load
        self._metrics = metrics
        self._poll_s = settings.champion_poll_s
        self._cache = settings.model_cache.expanduser()
        self._stop = threading.Event()
        self._pauses = pauses()
        self._refused = RetryLater(self._poll_s)
        self._told: Refusal | None = None
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)

    def start(self, told: Refusal | None = None) -> None:
        """Start the thread.

        Args:
            told: what the log has said of the champion already.
        """
        self._told = told
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
            except Exception as error:  # noqa: BLE001 - a thread's entry point: serving goes on.
                pause_s = next(self._pauses)
                log.warning(
                    "the registry cannot be read: the model goes on serving, promotions are heeded when it can",
                    error=loggable_text(error),
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
                if self._hears(cast("psycopg.Connection[Any]", connection.connection.driver_connection)):
                    self._refused.forget()
        except psycopg.Error as error:
            # The pool cannot know, since the driver was asked behind its back.
            connection.invalidate(error)
            raise

    def _hears(self, driver: psycopg.Connection[Any]) -> bool:
        """Return when there may be another champion: whether Postgres said so, or it is time to look."""
        end = time.monotonic() + self._poll_s
        while not self._stop.is_set() and (left_s := end - time.monotonic()) > 0:
            if list(driver.notifies(timeout=min(left_s, _HEED_S), stop_after=1)):
                return True
        return False

    def look(self, connection: Connection) -> None:
        """Serve the champion, if it is another one than the model that serves, and can be."""
        start = time.monotonic()
        serving = self._serving.classifier.version
        row = self._keep_what_may_serve(connection)
        behind = row is not None and row.version != serving
        self._metrics.behind.set(behind)
        if row is None or not behind:
            self._told = None
            return
        if self._refused.rests(row):
            return
        try:
            classifier = self._load(row)
        except Exception as error:  # noqa: BLE001 - a bundle is foreign: loading it may raise anything, and serving goes on.
            self._refuse(row, error)
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

    def _keep_what_may_serve(self, connection: Connection) -> ModelVersion | None:
        """Return the champion; what a rollback or a restart would load stays in the cache."""
        with connection.begin():
            row, before = champion(connection), champion_before(connection)
        for version in (self._serving.classifier.version, *(each.version for each in (row, before) if each)):
            keep(version, self._cache)
        return row

    def _refuse(self, row: ModelVersion, error: Exception) -> None:
        """Count each failure, and tell of it once; what is broken is not downloaded again at each look."""
        self._metrics.swap_failures.inc()
        if isinstance(error, ConfigurationError):
            self._refused.add(row)
        refusal = Refusal(row.version, type(error))
        if self._told != refusal:
            self._told = refusal
            # TRY400: a trace says no more to whoever has to act, and a bundle that cannot be read is no bug of ours.
            log.error(
                "the champion cannot be served: the old model goes on serving, and the champion is tried again",
                champion=row.version,
                serving=self._serving.classifier.version,
                error=first_line(error),
                remedy=_REMEDY,
            )


def _champion(connection: Connection) -> ModelVersion | None:
    with connection.begin():
        return champion(connection)

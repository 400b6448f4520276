"""Stored texts scored again by a newer model, in the background."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import structlog

from schemas.bundle import Manifest, UnusableBundle, made_at
from schemas.normalization import normalize
from worker.backoff import Stopped, wait_for
from worker.errors import ConfigurationError, loggable_text
from worker.inference.assign import Scored, score
from worker.inference.bundle import find_bundle
from worker.inference.load import load_classifier
from worker.observability.progress import progress
from worker.records import Classifier, Identity
from worker.settings import Settings
from worker.storage.bisect import bisect
from worker.storage.database import connect
from worker.storage.migrate import require_migrated
from worker.storage.scores import Place, RescoreStore, Stored, conventions_since, registered, similar_versions
from worker.storage.without_text import count_without_text
from worker.swap.follower import fetch_version

T = TypeVar("T")

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 1.0
"""Pause before another look for rows that someone else held."""


class Wanted(NamedTuple):
    """What to score again."""

    since: datetime
    """Time from which transcripts count, by when they were said."""
    model: str | None = None
    """A bundle's folder, a version of the registry, or what WORKER_MODEL names; None takes the champion."""
    batch: int = 256
    """Rows of a transaction."""
    rate: float = 500
    """Rows a second at most."""


class Outcome(NamedTuple):
    """What a run has done."""

    rows: int
    """Rows written."""
    left: int | None
    """Rows that still have the scores of an older model; None where the run was stopped before its end."""


class Rescoring:
    """Score rows by time, batch by batch, each in a transaction of its own; any number of processes may do it at once.

    What is done names the new model and is not found again, so a run that was stopped goes on where it was.

    Args:
        store: the rows.
        classifier: the model that scores them.
        batch: rows of a transaction.
        rate: rows a second at most.
        stop: ends the run after the batch in hand.
    """

    def __init__(
        self, store: RescoreStore, classifier: Classifier, *, batch: int, rate: float, stop: threading.Event
    ) -> None:
        self._store = store
        self._classifier = classifier
        self._batch = batch
        self._rate = rate
        self._stop = stop
        self._due = time.monotonic()

    def run(self) -> Outcome:
        """Work until all rows are done, or told to stop.

        Rows that someone else holds, such as another process that rescores, are passed over and looked at again in
        the end, until a whole round brings nothing; rows that the model rejects keep their old scores.
        """
        rows = 0
        try:
            with progress("scoring again", "rows", self._patiently(self._store.count)) as report:
                while True:
                    found = done = 0
                    for identities in self._pages():
                        found += len(identities)
                        for part in _spread(identities, self._batch):
                            done += (count := self._do(part))
                            rows += count
                            report(rows)
                    left = found - done
                    if not done or not left:
                        break
                    self._stop.wait(_AGAIN_S)
        except Stopped:
            return Outcome(rows, None)
        return Outcome(rows, left)

    def _pages(self) -> Iterator[list[Identity]]:
        after: Place | None = None
        while page := self._patiently(partial(self._store.page, after)):
            yield page.identities
            after = page.last

    def _do(self, identities: Sequence[Identity]) -> int:
        """Score a batch once its time has come."""
        self._stop.wait(max(0.0, self._due - time.monotonic()))
        begun = time.monotonic()
        count = self._patiently(partial(self._store.rescore, identities, self._score))
        self._due = begun + count / self._rate
        return count

    def _score(self, rows: Sequence[Stored]) -> list[Scored]:
        done: list[Scored] = []

        def attempt(run: Sequence[tuple[Identity, str]]) -> None:
            done.extend(score(self._classifier, run))

        texts = [(row.identity, normalize(row.text)) for row in rows]
        for (identity, _), error in bisect(texts, attempt):
            said = loggable_text(error)
            log.warning("the model rejects a text, which keeps its old scores", **identity._asdict(), error=said)
        return done

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Do it, through any outage of the database."""
        return wait_for("postgres", attempt, self._stop)


def _spread(identities: Sequence[Identity], size: int) -> Iterator[Sequence[Identity]]:
    """Cut a page into batches of rows that lie far apart.

    Neighbours share a page of the table. One of them leaves room there for the next, once its transaction is over.
    """
    count = -(-len(identities) // size)
    return (identities[start::count] for start in range(count))


def _unknown(model: str, nearest: Sequence[str]) -> ConfigurationError:
    like = f"; versions like it: {', '.join(nearest)}" if nearest else ""
    return ConfigurationError(
        f"--model {model} is no version of the registry, no folder and not what WORKER_MODEL names{like}. See "
        "`emotion-training models list`"
    )


def _conventions(present: Collection[str], manifest: Manifest) -> list[str]:
    """Return those of the rows' conventions that a model knows; rows of the others keep their scores."""
    if unknown := sorted(set(present).difference(manifest.tunings)):
        log.warning(
            "rows keep their scores, whose convention the model does not know; --convention moves them to another one",
            conventions=unknown,
            known=list(manifest.tunings),
        )
    return [name for name in manifest.tunings if name in present]


def _warn_of_texts_left_out(rows: int) -> None:
    if rows:
        log.warning(
            "rows whose texts were not kept keep their scores (WORKER_STORE_TEXT); to score them, read the topic again",
            rows=rows,
        )


def rescore(settings: Settings, wanted: Wanted, stop: threading.Event) -> Outcome:
    """Score rows of older models again, each by the convention of labels that it has, or all by the one that is set.

    Args:
        settings: the convention and what neutral means, where they are set; the database, the device, the backend, and
            where to keep what is downloaded.
        wanted: what to score, with what and how fast.
        stop: ends the run after the batch in hand.

    Raises:
        ConfigurationError: there is no such model, or no champion; or the deployment is wrong.
    """
    engine = connect(settings.required_database_url, "emotion-worker-rescore")
    try:
        wait_for("postgres", lambda: require_migrated(engine), stop)
        named = wanted.model
        at_hand = named is not None and Path(named).is_dir()
        row = None if at_hand else wait_for("postgres", lambda: registered(engine, named), stop)
        if not named and not row:
            raise ConfigurationError("there is no champion: name the model with --model")
        if named and not row and not at_hand and named != settings.model:
            raise _unknown(named, wait_for("postgres", lambda: similar_versions(engine, named), stop))
        fetched = row and wait_for("model", partial(fetch_version, row, settings.model_cache), stop)
        bundle = fetched or find_bundle(str(named))
        created_at = row.created_at if row else made_at(bundle.manifest)
        if settings.convention:
            conventions = [settings.convention]
        else:
            present = wait_for("postgres", lambda: conventions_since(engine, wanted.since), stop)
            conventions = _conventions(present, bundle.manifest)
        _warn_of_texts_left_out(wait_for("postgres", lambda: count_without_text(engine, wanted.since), stop))
        rows = left = 0
        for convention in conventions:
            classifier = load_classifier(settings.model_copy(update={"convention": convention}), bundle=bundle)
            every = settings.convention is not None
            store = RescoreStore(engine, wanted.since, classifier, created_at, every_convention=every)
            done = Rescoring(store, classifier, batch=wanted.batch, rate=wanted.rate, stop=stop).run()
            rows += done.rows
            if done.left is None:
                return Outcome(rows, None)
            left += done.left
        return Outcome(rows, left)
    except UnusableBundle as error:
        raise ConfigurationError(f"the bundle's {error}") from error
    except Stopped:
        return Outcome(0, None)
    finally:
        engine.dispose()

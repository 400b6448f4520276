"""How a run of retraining ends: its candidate's row, its place and the run's own end are one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Connection, Engine, select, update

from registry.errors import ConfigurationError, RegistryError, UnusableLocation
from registry.lifecycle import (
    ANCHOR,
    add,
    add_anew,
    anchor_of,
    being_deleted,
    promote_within,
    reject_within,
    require_in_place,
    writing,
)
from registry.locations import delete
from registry.postgres import DatabaseAway, database_problems
from registry.prune import BUNDLE
from registry.versions import PRUNED, ModelVersion, by_version
from registry.versions import champion as the_champion
from schemas.tables import training_runs
from training.retrain.gate import Verdict
from training.retrain.runs import Ending, Run, retry_while_away
from training.signals import StopSignal

log = structlog.get_logger(__name__)

_COLUMNS: Final = training_runs.c


class Outcome(NamedTuple):
    """How a run ended; version is the candidate's, None where there was none."""

    run: int
    state: str
    reason: str
    version: str | None = None

    def line(self) -> str:
        """Return it for people to read."""
        of = f" {self.version}" if self.version else ""
        return f"run {self.run}: {self.state}{of}: {self.reason}"


class Candidate(NamedTuple):
    """What the gate judged.

    Attributes:
        row: of the bundle, which is in its place.
        verdict: of the gate.
        champion: version that it was judged against.
        stand_in: the bundle that stood for a champion, since there was none; it becomes one first, where its row says
            it is. Else None.
        registered: whether that one is the registry's own row, which must not have been pruned since it was read;
            otherwise its row is made, or made again.
    """

    row: ModelVersion
    verdict: Verdict
    champion: str
    stand_in: ModelVersion | None
    registered: bool = False


def decide(engine: Engine, run: Run, candidate: Candidate, stop: StopSignal) -> Outcome:
    """Put a candidate into the registry, on its throne where it belongs there, and end the run; all or nothing.

    An outage of Postgres is waited out, until a signal comes.

    Raises:
        LostRun: another process has, or had, the run's lock.
        DatabaseAway: Postgres stays away.
        UserError: see `registry.lifecycle.add` and `require_in_place`.
        RegistryError: a bundle is not in its place any more; UnusableLocation, where what stood for a champion was
            pruned meanwhile, so that the run can go on.
    """
    # Before the transaction: nobody is to wait for a store that is slow, nor Postgres to lose patience with us.
    for row in filter(None, (candidate.stand_in, candidate.row)):
        require_in_place(row)

    outcome = retry_while_away(stop, partial(_decide, engine, run, candidate))
    log.info("a run is over", **outcome._asdict())
    return outcome


def _decide(engine: Engine, run: Run, candidate: Candidate) -> Outcome:
    with writing(engine) as connection:
        row, verdict = candidate.row, candidate.verdict
        if ended := _ended(connection, run, row.version):
            return ended
        champion = _champion(connection, candidate)
        promoted, reason, details = verdict.promoted, verdict.reason, {}
        if promoted and champion != candidate.champion:
            promoted = False
            reason = f"{candidate.champion}, which it was judged against, is no longer the champion"
            details = {"overtaken_by": champion}
        state: Ending = "promoted" if promoted else "rejected"
        if promoted and not verdict.sound:
            # What labels cannot tell yet stays to be compared with what was there before.
            anchor = anchor_of(connection)
            row = row._replace(metrics=row.metrics | {ANCHOR: anchor.version if anchor else row.version})
        add(connection, row)
        if promoted:
            promote_within(connection, row)
        else:
            reject_within(connection, row.version, reason)
        run.finish_within(connection, state, reason, row.version, **details)
        return Outcome(run.id, state, reason, row.version)


def _ended(connection: Connection, run: Run, version: str) -> Outcome | None:
    """Return how the run ended, where Postgres went away between an earlier try's commit and its answer."""
    query = select(_COLUMNS.state, _COLUMNS.reason).where(_COLUMNS.id == run.id, _COLUMNS.model_version == version)
    row = connection.execute(query).one_or_none()
    return row and Outcome(run.id, row.state, row.reason, version)


def _champion(connection: Connection, candidate: Candidate) -> str | None:
    """Return the present champion's version; where there is none, the bundle that stood for one becomes it."""
    present, stand_in = the_champion(connection), candidate.stand_in
    if present or not stand_in:
        return present and present.version
    there = by_version(connection, stand_in.version)
    if there and being_deleted(there) == stand_in.location:
        raise UnusableLocation(
            f"{stand_in.location} is being deleted: run `emotion-training models prune` to its end, then start the run "
            "again, which goes on"
        )
    if not candidate.registered:
        add_anew(connection, stand_in)
    elif there and there.location == PRUNED:
        raise UnusableLocation(
            f"the bundle of {there.version}, which stood for a champion, was pruned meanwhile. Start the run again: it "
            "goes on, and puts the bundle into the store again"
        )
    promote_within(connection, stand_in)
    return stand_in.version


def note_bundle(run: Run, row: ModelVersion) -> None:
    """Note where a candidate will lie, before it does; see `sweep_bundles`.

    Raises:
        As `Run.note`.
    """
    run.note(**{BUNDLE: {"version": row.version, "location": row.location}})


def sweep_bundles(engine: Engine) -> None:
    """Delete from the store what failed runs put there; what cannot be deleted now is left to the next sweep."""
    failed = select(_COLUMNS.id, _COLUMNS.details[BUNDLE].label("bundle")).where(
        _COLUMNS.state == "failed", _COLUMNS.details.has_key(BUNDLE)
    )
    with _another_time():
        with database_problems(), engine.connect() as connection:
            left = connection.execute(failed).all()
        for row in left:
            with _another_time():
                _sweep(engine, row.id, **row.bundle)


def _sweep(engine: Engine, run: int, *, version: str, location: str) -> None:
    with database_problems(), engine.connect() as connection:
        # Somebody may have registered it by hand. Whoever does so just now has a row that nothing can promote.
        registered = by_version(connection, version)
    if not registered:
        # In no transaction: a store that hangs must not keep a rollback waiting.
        delete(location, version)
    without: Any = _COLUMNS.details.op("-")(BUNDLE)
    with database_problems(), engine.begin() as connection:
        connection.execute(update(training_runs).where(_COLUMNS.id == run).values(details=without))


@contextmanager
def _another_time() -> Iterator[None]:
    try:
        yield
    except (RegistryError, ConfigurationError, DatabaseAway) as error:
        log.warning("what a failed run left in the store may still be there; the next run looks", problem=str(error))

"""Deleting bundles that nothing serves any more: those that were copied into a store, and no others."""

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, func, select, update

from registry.errors import RegistryError, UnusableLocation
from registry.lifecycle import PRUNING, anchor_of, writing
from registry.locations import adopt, delete, is_placed
from registry.postgres import database_problems
from registry.versions import PRUNED, ModelVersion, all_versions, champion_before
from schemas.tables import model_versions, training_runs

log = structlog.get_logger(__name__)

_COLUMNS: Final = model_versions.c
BUNDLE: Final = "bundle"
"""Key in the details of a run of retraining: version and location of its candidate's bundle."""

_DONE: Final = ("retired", "rejected")

Place = tuple[str, str]
"""A version, and where its bundle lies."""


def prune(engine: Engine, keep: int, *, dry_run: bool = False) -> list[str]:
    """Delete bundles of retired and rejected versions from their stores; the rows stay, with no location.

    A bundle that was registered where it lies is not the registry's: it stays as it is, and so does its row.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        keep: number of these versions to spare, newest first; those that a rollback or the gate needs are spared too.
        dry_run: delete and change nothing.

    Returns:
        The versions whose bundles were deleted, or would be.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
        UnusableLocation: bundles that it names cannot be deleted; the others are, and the next call tries these again.
    """
    noted = _noted(engine)
    going, left = _in_stores(_superseded(engine, keep), noted)
    if dry_run:
        return [version for version, _ in [*_begun(engine), *going]]
    deletions = _taken(engine, going)
    for version, location in deletions:
        try:
            # In no transaction: a store that hangs must not keep a rollback waiting.
            if (version, location) in noted:
                adopt(location)
            delete(location, version)
        except RegistryError as error:
            left[version] = error
            continue
        done = update(model_versions).where(_COLUMNS.version == version)
        with database_problems(), engine.begin() as connection:
            connection.execute(done.values(metrics=_COLUMNS.metrics.op("-")(PRUNING)))
    if left:
        each = "; ".join(f"{version} ({error})" for version, error in left.items())
        of = len({version for version, _ in deletions} | left.keys())
        raise UnusableLocation(
            f"{len(left)} of {of} bundles could not be deleted, and the next prune tries again: {each}"
        )
    return [version for version, _ in deletions]


def _superseded(engine: Engine, keep: int) -> list[ModelVersion]:
    """Return the versions that are done with and still have a bundle, but the newest and those that are needed."""
    with database_problems(), engine.connect() as connection:
        rows, needed = all_versions(connection), _needed(connection)
    done = [row for row in rows if row.state in _DONE and row.location != PRUNED]
    done.sort(key=lambda row: row.promoted_at or row.created_at, reverse=True)
    return [row for row in done[keep:] if row.version not in needed]


def _needed(connection: Connection) -> set[str]:
    """Return the versions that a rollback makes champion, and that the gate compares candidates with."""
    return {row.version for row in (champion_before(connection), anchor_of(connection)) if row}


def _in_stores(rows: Sequence[ModelVersion], noted: set[Place]) -> tuple[list[Place], dict[str, RegistryError]]:
    """Return where those lie that were copied into a store, and which stores cannot be asked."""
    going: list[Place] = []
    left: dict[str, RegistryError] = {}
    for version, location in ((row.version, row.location) for row in rows):
        try:
            if (version, location) in noted or is_placed(location):
                going.append((version, location))
            else:
                log.info("a bundle was registered where it lies, and stays", version=version, location=location)
        except RegistryError as error:
            left[version] = error
            log.warning("a store cannot be asked for a bundle", version=version, problem=str(error))
    return going, left


def _noted(engine: Engine) -> set[Place]:
    """Return what runs put into stores, as they noted: there were no marks in stores once."""
    bundle = training_runs.c.details[BUNDLE]
    query = select(bundle["version"].astext, bundle["location"].astext).where(training_runs.c.details.has_key(BUNDLE))
    with database_problems(), engine.connect() as connection:
        return {(version, location) for version, location in connection.execute(query)}


def _begun(engine: Engine) -> Sequence[Place]:
    """Return the bundles whose deletion was begun by an earlier call, the newest first."""
    # The manifest's own metrics may have something of that name.
    going = (_COLUMNS.location == PRUNED) & _COLUMNS.metrics.has_key(PRUNING)
    newest = func.coalesce(_COLUMNS.promoted_at, _COLUMNS.created_at).desc()
    places = select(_COLUMNS.version, _COLUMNS.metrics[PRUNING].astext).where(going).order_by(newest)
    with database_problems(), engine.connect() as connection:
        return [(version, location) for version, location in connection.execute(places)]


def _taken(engine: Engine, places: Sequence[Place]) -> Sequence[Place]:
    """Take their location from versions; return version and former location of all whose bundles are to be deleted."""
    with writing(engine) as connection:
        needed = _needed(connection)
        for version, location in places:
            if version not in needed:
                # It may have been promoted, or put elsewhere, since it was looked at.
                still = (_COLUMNS.version == version) & (_COLUMNS.location == location) & _COLUMNS.state.in_(_DONE)
                where = _COLUMNS.metrics.op("||")(func.jsonb_build_object(PRUNING, location))
                connection.execute(update(model_versions).where(still).values(location=PRUNED, metrics=where))
    return _begun(engine)

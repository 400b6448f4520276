"""The models there are: candidates, the champion that is served, and those that were or were not."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from registry.errors import RegistryError, UnusableLocation
from registry.locations import delete, manifest_at
from registry.versions import CHANNEL, PRUNED, ModelVersion, all_versions, by_version, champion_before, with_the_code
from registry.versions import champion as the_champion
from schemas.tables import model_versions
from training.database import database_problems
from training.errors import TrainingError, UnusableModel
from training.placing import described, place

_COLUMNS: Final = model_versions.c

_PRUNING: Final = "pruning"
"""Where, in a version's metrics, its bundle lies until it is deleted: nobody can promote it any more."""


class UnusableVersion(TrainingError):
    """There is no such version, or what was asked does not go with its state."""


def versions(engine: Engine) -> list[ModelVersion]:
    """Return all versions, the newest first.

    Raises:
        UnusableDatabase: see `training.database`; so do all functions below.
    """
    with database_problems(), engine.connect() as connection:
        return all_versions(connection)


def champion(engine: Engine) -> ModelVersion | None:
    """Return the version that is served, None before the first promotion."""
    with database_problems(), engine.connect() as connection:
        return the_champion(connection)


def register(engine: Engine, folder: Path, store: str | None = None) -> str:
    """Make a bundle a candidate, after making sure that it opens; return its version.

    Args:
        engine: of the database.
        folder: of the bundle.
        store: folder or URL to copy the bundle into, under its version's name; None leaves it where it is.

    Raises:
        UnusableLocation: the store cannot be written.
        BrokenBundle: the folder holds no complete bundle of this version of the code.
        UnusableModel: its weights cannot be opened, or its version cannot name a folder.
        UnusableVersion: it is registered already.
    """
    with database_problems(), engine.connect() as connection:
        _require_new(connection, described(folder, store).version)
    row = place(folder, store)
    with database_problems(), engine.begin() as connection:
        add(connection, row)
    return row.version


def add(connection: Connection, row: ModelVersion) -> None:
    """Make the row of a version whose bundle is in its place.

    Raises:
        UnusableVersion: it is registered already.
    """
    new = insert(model_versions).values(row._asdict())
    if not connection.execute(new.on_conflict_do_nothing().returning(_COLUMNS.version)).all():
        _require_new(connection, row.version)


def add_anew(connection: Connection, row: ModelVersion) -> None:
    """Do as `add`; of a version that is registered already, the row says then what this one says, but for its state."""
    new = insert(model_versions).values(row._asdict())
    said = {name: new.excluded[name] for name in row._fields if name not in {"version", "state", "promoted_at"}}
    connection.execute(new.on_conflict_do_update(index_elements=[_COLUMNS.version], set_=said))


def promote(engine: Engine, version: str) -> None:
    """Make a version the champion, and retire the one before; the champion itself stays as it is.

    Raises:
        UnusableLocation: its bundle cannot be reached.
        BrokenBundle: its bundle is not complete.
        UnusableVersion: there is none of that name, or it was pruned.
    """
    with database_problems(), engine.connect() as connection:
        new = _find(connection, version)
    require_in_place(new)
    with writing(engine) as connection:
        promote_within(connection, new)


def rollback(engine: Engine) -> str:
    """Make the champion before the present one champion again; return its version. A second one takes it back.

    Raises:
        UnusableLocation: its bundle cannot be reached.
        BrokenBundle: its bundle is not complete.
        UnusableVersion: there was none, it was pruned, or the champion has just changed.
    """
    with database_problems(), engine.connect() as connection:
        before = champion_before(connection)
    if before is None:
        raise UnusableVersion("no champion came before this one: promote another version instead")
    require_in_place(before)
    with writing(engine) as connection:
        if champion_before(connection) != before:
            raise UnusableVersion("the champion changed meanwhile: look at `models list`, then try again")
        promote_within(connection, before)
    return before.version


def reject(engine: Engine, version: str, reason: str) -> None:
    """Say that a version is not to be served, and why: the reason is kept in its metrics, as `rejected`.

    Raises:
        UnusableVersion: there is none of that name, or it is the champion.
    """
    with writing(engine) as connection:
        reject_within(connection, version, reason)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that no other writer of the versions runs beside; readers do not wait.

    None asks a store: others would wait for one that hangs, and Postgres may end a transaction that is idle.
    """
    with database_problems(), engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {model_versions.name} IN SHARE ROW EXCLUSIVE MODE"))
        yield connection


def promote_within(connection: Connection, row: ModelVersion) -> None:
    """Do as `promote`, in a transaction of `writing`, with a version that `require_in_place` was asked about before.

    Raises:
        UnusableVersion: it has been pruned since.
    """
    new = _find(connection, row.version)
    if new.location != row.location:
        raise UnusableVersion(f"the bundle of {row.version} was pruned meanwhile: promote another version")
    if new.state == "champion":
        return
    old = the_champion(connection)
    if old:
        _set(connection, old.version, state="retired")
    # Not now(), which is when the transaction began, before it waited for the others.
    _set(connection, new.version, state="champion", promoted_at=func.clock_timestamp())
    connection.execute(select(func.pg_notify(CHANNEL, new.version)))


def reject_within(connection: Connection, version: str, reason: str) -> None:
    """Do as `reject`, in a transaction of `writing`."""
    if _find(connection, version).state == "champion":
        raise UnusableVersion(f"{version} is the champion: promote another version or roll back first")
    why = func.jsonb_build_object("rejected", reason)
    _set(connection, version, state="rejected", metrics=_COLUMNS.metrics.op("||")(why))


def prune(engine: Engine, keep: int) -> list[str]:
    """Delete bundles of retired and rejected versions; their rows stay, with no location.

    Args:
        engine: of the database.
        keep: how many of them to spare, the newest; the one that a rollback needs is spared besides.

    Returns:
        The versions whose bundles were deleted.

    Raises:
        UnusableLocation: bundles that it names cannot be deleted; the others are, and the next call tries these again.
    """
    deletions, left = _deletions(engine, keep), []
    for version, location in deletions:
        try:
            # In no transaction: a store that hangs must not keep a rollback waiting.
            delete(location, version)
        except RegistryError as error:
            left.append(f"{version} ({error})")
            continue
        with database_problems(), engine.begin() as connection:
            _set(connection, version, metrics=_COLUMNS.metrics.op("-")(_PRUNING))
    if left:
        several = f"{len(left)} of {len(deletions)} bundles could not be deleted, and the next prune tries again"
        raise UnusableLocation(f"{several}: {'; '.join(left)}")
    return [version for version, _ in deletions]


def being_deleted(row: ModelVersion) -> str | None:
    """Return where the bundle of a pruned version lies until it is deleted, if it is not yet."""
    location: str | None = row.metrics.get(_PRUNING) if row.location == PRUNED else None
    return location


def _deletions(engine: Engine, keep: int) -> Sequence[tuple[str, str]]:
    """Take their location from versions; return version and former location of all whose bundles are to be deleted."""
    with writing(engine) as connection:
        before = champion_before(connection)
        newest = func.coalesce(_COLUMNS.promoted_at, _COLUMNS.created_at).desc()
        done = _COLUMNS.state.in_(("retired", "rejected")) & (_COLUMNS.location != PRUNED)
        for row in connection.execute(select(model_versions).where(done).order_by(newest).offset(keep)):
            if before is None or row.version != before.version:
                where = func.jsonb_build_object(_PRUNING, row.location)
                _set(connection, row.version, location=PRUNED, metrics=_COLUMNS.metrics.op("||")(where))
        # The manifest's own metrics may have something of that name.
        going = (_COLUMNS.location == PRUNED) & _COLUMNS.metrics.has_key(_PRUNING)
        places = select(_COLUMNS.version, _COLUMNS.metrics[_PRUNING].astext).where(going).order_by(newest)
        return connection.execute(places).tuples().all()


def _require_new(connection: Connection, version: str) -> None:
    there = by_version(connection, version)
    if there:
        raise UnusableVersion(f"{version} is registered already, as {there.state}")


def _find(connection: Connection, version: str) -> ModelVersion:
    found = by_version(connection, version)
    if found:
        return found
    known: Sequence[str] = connection.execute(select(_COLUMNS.version)).scalars().all()
    if not known:
        raise UnusableVersion(f"there is no version {version}, nor any other: register a bundle first")
    nearest = difflib.get_close_matches(version, known, n=1, cutoff=0)[0]
    raise UnusableVersion(f"there is no version {version}; the nearest is {nearest}")


def _set(connection: Connection, version: str, **values: Any) -> None:
    connection.execute(update(model_versions).where(_COLUMNS.version == version).values(values))


def require_in_place(row: ModelVersion) -> None:
    """Make sure that a version can be promoted: its bundle lies where its row says, or came with the code.

    Raises:
        As `promote`, and UnusableModel: another bundle lies there.
    """
    if with_the_code(row):
        return
    if row.location == PRUNED:
        raise UnusableVersion(f"the bundle of {row.version} was pruned: promote another version")
    found = manifest_at(row.location).version
    if found != row.version:
        raise UnusableModel(f"{row.location} holds {found}, not {row.version}. Copy the bundle there anew")

"""The models there are: candidates, the champion that is served, and those that were or were not."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from registry.locations import checksum, delete, manifest_at, upload
from registry.versions import CHANNEL, PRUNED, ModelVersion, all_versions, by_version, champion_before, with_the_code
from registry.versions import champion as the_champion
from schemas.bundle import UnusableBundle, made_at
from schemas.tables import model_versions
from training.bundles import open_bundle
from training.database import database_problems
from training.errors import TrainingError, UnusableModel

_COLUMNS: Final = model_versions.c


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
    row = place(engine, folder, store)
    with database_problems(), engine.begin() as connection:
        add(connection, row)
    return row.version


def described(folder: Path, store: str | None = None) -> ModelVersion:
    """Return what a bundle's row would say, with the location that it would have; nothing is written.

    Raises:
        UnusableLocation: the folder cannot be read.
        BrokenBundle: it holds no complete bundle of this version of the code.
        UnusableModel: its version cannot name a folder, or its manifest does not say when it was made.
    """
    manifest = manifest_at(str(folder))
    try:
        created_at = made_at(manifest)
    except UnusableBundle as error:
        raise UnusableModel(f"{folder}: {error}") from error
    location = _within(store, manifest.version) if store else str(folder.resolve())
    measured = manifest.metrics, manifest.data_fingerprint, manifest.base_model
    return ModelVersion(manifest.version, "candidate", location, *measured, created_at, promoted_at=None)


def place(engine: Engine, folder: Path, store: str | None = None) -> ModelVersion:
    """Copy a bundle to where it is to lie, as `register` does; return the row that `add` then makes of it.

    In no transaction: a rollback must not wait for it.

    Raises:
        As `register`.
    """
    row = described(folder, store)
    open_bundle(folder)
    with database_problems(), engine.connect() as connection:
        _require_new(connection, row.version)
    if store:
        upload(folder, row.location)
    return row._replace(checksum=checksum(str(folder)))


def add(connection: Connection, row: ModelVersion) -> None:
    """Make the row of a version whose bundle is in its place.

    Raises:
        UnusableVersion: it is registered already.
    """
    new = insert(model_versions).values(row._asdict())
    if not connection.execute(new.on_conflict_do_nothing().returning(_COLUMNS.version)).all():
        _require_new(connection, row.version)


def promote(engine: Engine, version: str) -> None:
    """Make a version the champion, and retire the one before; the champion itself stays as it is.

    Raises:
        UnusableLocation: its bundle cannot be reached.
        BrokenBundle: its bundle is not complete.
        UnusableVersion: there is none of that name.
    """
    with writing(engine) as connection:
        promote_within(connection, version)


def rollback(engine: Engine) -> str:
    """Make the champion before the present one champion again; return its version. A second one takes it back.

    Raises:
        UnusableLocation: its bundle cannot be reached.
        BrokenBundle: its bundle is not complete.
        UnusableVersion: there was none, or it was pruned.
    """
    with writing(engine) as connection:
        before = champion_before(connection)
        if before is None:
            raise UnusableVersion("no champion came before this one: promote another version instead")
        _promote(connection, before)
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
    """Begin a transaction that no other writer of the versions runs beside; readers do not wait."""
    with database_problems(), engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {model_versions.name} IN SHARE ROW EXCLUSIVE MODE"))
        yield connection


def promote_within(connection: Connection, version: str) -> None:
    """Do as `promote`, in a transaction of `writing`."""
    _promote(connection, _find(connection, version))


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
        UnusableLocation: a bundle cannot be deleted; those before it are.
    """
    with writing(engine) as connection:
        before = champion_before(connection)
        newest = func.coalesce(_COLUMNS.promoted_at, _COLUMNS.created_at).desc()
        done = _COLUMNS.state.in_(("retired", "rejected")) & (_COLUMNS.location != PRUNED)
        old = connection.execute(select(model_versions).where(done).order_by(newest).offset(keep))
        going = [row.version for row in old if before is None or row.version != before.version]
    return [version for version in going if _delete(engine, version)]


def _delete(engine: Engine, version: str) -> bool:
    with writing(engine) as connection:
        row = _find(connection, version)
        if row.state not in {"retired", "rejected"} or row.location == PRUNED:
            return False
        # Before the row: a bundle whose deletion breaks off is found again by the next prune.
        delete(row.location, version)
        _set(connection, version, location=PRUNED)
    return True


def _promote(connection: Connection, new: ModelVersion) -> None:
    if not with_the_code(new):
        _require_bundle(new)
    if new.state == "champion":
        return
    old = the_champion(connection)
    if old:
        _set(connection, old.version, state="retired")
    # Not now(), which is when the transaction began, before it waited for the others.
    _set(connection, new.version, state="champion", promoted_at=func.clock_timestamp())
    connection.execute(select(func.pg_notify(CHANNEL, new.version)))


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


def _within(store: str, version: str) -> str:
    if "/" in version or version in {".", ".."}:
        raise UnusableModel(f"version {version!r} cannot name a folder. Export the bundle anew")
    if "://" not in store:
        store = str(Path(store).resolve())
    return f"{store.rstrip('/')}/{version}"


def _require_bundle(row: ModelVersion) -> None:
    if row.location == PRUNED:
        raise UnusableVersion(f"the bundle of {row.version} was pruned: promote another version")
    found = manifest_at(row.location).version
    if found != row.version:
        raise UnusableModel(f"{row.location} holds {found}, not {row.version}. Copy the bundle there anew")

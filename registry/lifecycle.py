"""The models there are: candidates, the champion that is served, and those that were or were not."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from registry.contents import checksum, manifest_at
from registry.errors import RegistryError, UnusableModel, UnusableVersion
from registry.postgres import database_problems
from registry.released import released_model
from registry.versions import (
    CHANNEL,
    PRUNED,
    ModelVersion,
    all_versions,
    by_version,
    champion_before,
    describe_bundle,
    with_the_code,
)
from registry.versions import champion as the_champion
from schemas.tables import model_versions

_COLUMNS: Final = model_versions.c

ANCHOR: Final = "anchor"
"""Where, in a champion's metrics, the version is named against which nothing may be lost; see `anchor_of`."""

PRUNING: Final = "pruning"
"""Where, in a version's metrics, its bundle lies until it is deleted: nobody can promote it any more."""


def versions(engine: Engine) -> list[ModelVersion]:
    """Return all versions, the newest first.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`; so do all functions below.
    """
    with database_problems(), engine.connect() as connection:
        return all_versions(connection)


def champion(engine: Engine) -> ModelVersion | None:
    """Return the version that is served, None before the first promotion."""
    with database_problems(), engine.connect() as connection:
        return the_champion(connection)


def anchor_of(connection: Connection) -> ModelVersion | None:
    """Return the best champion so far: the last one of which labels could tell that no emotion had become worse.

    A champion that was promoted by hand, or before there were anchors, is its own.
    """
    present = the_champion(connection)
    return present and (by_version(connection, str(present.metrics.get(ANCHOR, present.version))) or present)


def find(engine: Engine, version: str) -> ModelVersion:
    """Return the version of a name.

    Raises:
        UnusableVersion: there is none.
    """
    with database_problems(), engine.connect() as connection:
        return _find(connection, version)


def add(connection: Connection, row: ModelVersion) -> None:
    """Make the row of a version whose bundle is in its place.

    Raises:
        UnusableVersion: it is registered already.
    """
    new = insert(model_versions).values(row._asdict())
    if not connection.execute(new.on_conflict_do_nothing().returning(_COLUMNS.version)).all():
        require_new(connection, row.version)


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

    Before the first champion the released bundle served: it becomes one then.

    Raises:
        UnusableLocation: its bundle cannot be reached.
        BrokenBundle: its bundle is not complete.
        UnusableVersion: there was none, it was pruned, or the champion has just changed.
    """
    with database_problems(), engine.connect() as connection:
        known, present = champion_before(connection), the_champion(connection)
        before = known or (present and _released(connection))
    if before is None:
        raise UnusableVersion("no champion came before this one: promote another version instead")
    require_in_place(before)
    with writing(engine) as connection:
        if (champion_before(connection), the_champion(connection)) != (known, present):
            raise UnusableVersion("the champion changed meanwhile: look at `models list`, then try again")
        if not by_version(connection, before.version):
            add(connection, before)
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
    """Begin a transaction that keeps other writers of the versions out; readers do not wait.

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


def being_deleted(row: ModelVersion) -> str | None:
    """Return where the bundle of a pruned version lies until it is deleted, if it is not yet."""
    location: str | None = row.metrics.get(PRUNING) if row.location == PRUNED else None
    return location


def _released(connection: Connection) -> ModelVersion | None:
    """Return the row of the released bundle, or what it would say; None where it is not at hand, or no candidate."""
    try:
        folder = released_model()
        released_row = describe_bundle(folder)._replace(checksum=checksum(str(folder)))
    except RegistryError:
        return None
    row = by_version(connection, released_row.version) or released_row
    return row if row.state == "candidate" else None


def require_new(connection: Connection, version: str) -> None:
    """Make sure that a version is not registered yet.

    Raises:
        UnusableVersion: it is.
    """
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
        raise UnusableModel(f"{row.location} holds {found}, not {row.version}. Copy the bundle there again")

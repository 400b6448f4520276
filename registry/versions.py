"""What the table `model_versions` says, and the bundles it names; queries run within the caller's transaction."""

from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, select

from registry import released
from registry.cache import download, forget
from registry.contents import Bundle, check_bundle, checksum, manifest_at
from registry.errors import BrokenBundle, RegistryError, UnusableModel
from schemas.bundle import UnusableBundle, made_at
from schemas.tables import model_versions

CHANNEL: Final = "model_promoted"
"""Postgres notifies it of the version that became the champion, when the promotion is committed."""

PRUNED: Final = ""
"""Location of a version whose bundle was deleted."""

_COLUMNS: Final = model_versions.c


class ModelVersion(NamedTuple):
    """A row of `model_versions`; state is candidate, champion, retired or rejected."""

    version: str
    state: str
    location: str
    metrics: dict[str, Any]
    data_fingerprint: str
    base_model: str
    created_at: datetime
    promoted_at: datetime | None
    checksum: str | None = None
    """Of `registry.contents.checksum`; None where the version was registered before there was one."""


def all_versions(connection: Connection) -> list[ModelVersion]:
    """Return all versions, the newest first."""
    rows = connection.execute(select(model_versions).order_by(_COLUMNS.created_at.desc(), _COLUMNS.version))
    return [_version(row) for row in rows]


def by_version(connection: Connection, version: str) -> ModelVersion | None:
    """Return the version of that name, if there is one."""
    return _one(connection, select(model_versions).where(_COLUMNS.version == version))


def champion(connection: Connection) -> ModelVersion | None:
    """Return the version that is served, None before the first promotion."""
    return _one(connection, select(model_versions).where(_COLUMNS.state == "champion"))


def champion_before(connection: Connection) -> ModelVersion | None:
    """Return the version that a rollback makes champion again, if there is one."""
    were = select(model_versions).where(_COLUMNS.state == "retired", _COLUMNS.promoted_at.is_not(None))
    return _one(connection, were.order_by(_COLUMNS.promoted_at.desc()).limit(1))


def candidate(connection: Connection) -> ModelVersion | None:
    """Return the newest candidate, if there is one."""
    waiting = select(model_versions).where(_COLUMNS.state == "candidate")
    return _one(connection, waiting.order_by(_COLUMNS.created_at.desc(), _COLUMNS.version).limit(1))


def similar_versions(connection: Connection, name: str) -> list[str]:
    """Return the versions that are written most like a name, the nearest first; three at most."""
    return get_close_matches(name, connection.execute(select(_COLUMNS.version)).scalars().all(), cutoff=0.4)


def describe_bundle(folder: Path, store: str | None = None) -> ModelVersion:
    """Return what a bundle's row would say, with the location that it would have; nothing is written.

    Raises:
        UnusableLocation: the folder cannot be read.
        BrokenBundle: it holds no complete bundle of this version of the code.
        UnusableModel: its manifest does not say when it was made.
    """
    manifest = manifest_at(str(folder))
    try:
        created_at = made_at(manifest)
    except UnusableBundle as error:
        raise UnusableModel(f"{folder}: {error}") from error
    location = f"{_absolute(store)}/{manifest.version}" if store else str(folder.resolve())
    measured = manifest.metrics, manifest.data_fingerprint, manifest.base_model
    return ModelVersion(manifest.version, "candidate", location, *measured, created_at, promoted_at=None)


def fetch(row: ModelVersion, cache: Path) -> Bundle:
    """Return a version's bundle in a folder, after making sure that it is the one that was registered.

    The released bundle is taken from where it came with the code: its location may be a folder of another machine.

    Args:
        row: the version.
        cache: folder for what is downloaded; see `registry.cache.download`.

    Raises:
        UnusableLocation: the bundle cannot be reached, or the cache not written.
        BrokenBundle: it is not complete, not for this version of the code, or another one by now.
    """
    if bundle := with_the_code(row):
        return bundle
    if row.location == PRUNED:
        raise BrokenBundle(f"the bundle of {row.version} was pruned: take another version")
    bundle = download(row.location, cache)
    if difference := _difference(bundle, row):
        forget(bundle.folder)
        raise BrokenBundle(f"{row.location} holds the bundle of {difference}. Copy the bundle there again")
    return bundle


def with_the_code(row: ModelVersion) -> Bundle | None:
    """Return the released bundle, if that is what was registered."""
    with suppress(RegistryError):
        folder = released.released_model()
        bundle = Bundle(folder, *check_bundle(str(folder)))
        if not _difference(bundle, row):
            return bundle
    return None


def _absolute(store: str) -> str:
    return store.rstrip("/") if "://" in store else str(Path(store).resolve())


def _difference(bundle: Bundle, row: ModelVersion) -> str | None:
    """Say in what a bundle is not the one that was registered; the files are read for it, where all else is the same.

    Raises:
        UnusableLocation: the folder cannot be read.
        BrokenBundle: a file of it is not safe to open.
    """
    found = bundle.manifest
    for name, here, registered in (
        ("version", found.version, row.version),
        ("fingerprint", found.data_fingerprint, row.data_fingerprint),
    ):
        if here != registered:
            return f"{name} {here}, registered is {registered}"
    if row.checksum and (here := checksum(str(bundle.folder))) != row.checksum:
        return f"checksum {here}, registered is {row.checksum}: a file was damaged, changed or added since"
    return None


def _one(connection: Connection, query: Select[Any]) -> ModelVersion | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _version(row)


def _version(row: Row[Any]) -> ModelVersion:
    return ModelVersion(**row._mapping)  # noqa: SLF001 - SQLAlchemy's name for the row as a mapping, which is public.

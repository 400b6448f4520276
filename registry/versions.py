"""What the table `model_versions` says, and the bundles it names; queries run within the caller's transaction."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, select

from registry.errors import BrokenBundle
from registry.locations import download, manifest_at
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


def all_versions(connection: Connection) -> list[ModelVersion]:
    """Return all versions, the newest first."""
    rows = connection.execute(select(model_versions).order_by(_COLUMNS.created_at.desc(), _COLUMNS.version))
    return [ModelVersion._make(row) for row in rows]


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


def fetch(row: ModelVersion, cache: Path) -> Path:
    """Return a folder that holds a version's bundle, after making sure that it is the one that was registered.

    Args:
        row: the version.
        cache: folder for what is downloaded; see `registry.locations.download`.

    Raises:
        UnusableLocation: the bundle cannot be reached, or the cache not written.
        BrokenBundle: it is not complete, not for this version of the code, or another one by now.
    """
    if row.location == PRUNED:
        raise BrokenBundle(f"the bundle of {row.version} was pruned: take another version")
    folder = download(row.location, cache)
    found = manifest_at(str(folder))
    for name, here, registered in (
        ("version", found.version, row.version),
        ("fingerprint", found.data_fingerprint, row.data_fingerprint),
    ):
        if here != registered:
            raise BrokenBundle(
                f"{row.location} holds the bundle of {name} {here}, registered is {registered}. Copy the bundle there "
                "anew"
            )
    return folder


def _one(connection: Connection, query: Select[Any]) -> ModelVersion | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else ModelVersion._make(row)

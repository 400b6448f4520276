"""Copy a bundle to where the workers find it, and register it as a candidate."""

from pathlib import Path

from sqlalchemy import Engine

from registry.contents import checksum
from registry.lifecycle import add, require_new
from registry.load import load_bundle
from registry.locations import upload
from registry.postgres import database_problems
from registry.versions import ModelVersion, describe_bundle


def register(engine: Engine, folder: Path, store: str | None = None) -> str:
    """Make a bundle a candidate, after making sure that it opens; return its version.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        folder: the bundle's folder.
        store: folder or URL to copy the bundle into, under its version's name; None leaves it where it is.

    Raises:
        UnusableLocation: the store cannot be written.
        BrokenBundle: the folder holds no complete bundle of this version of the code.
        UnusableModel: its weights cannot be opened.
        UnusableVersion: it is registered already.
    """
    with database_problems(), engine.connect() as connection:
        require_new(connection, describe_bundle(folder, store).version)
    row = publish_bundle(folder, store)
    with database_problems(), engine.begin() as connection:
        add(connection, row)
    return row.version


def publish_bundle(folder: Path, store: str | None = None) -> ModelVersion:
    """Copy a bundle to where it is to lie; return the row that `registry.lifecycle.add` then makes of it.

    In no transaction: a rollback must not wait for it.

    Args:
        folder: the bundle's folder.
        store: folder or URL to copy it into, under its version's name; None leaves it where it is.

    Raises:
        UnusableLocation: the store cannot be written, or holds another bundle of that name.
        BrokenBundle: the folder holds no complete bundle of this version of the code.
        UnusableModel: its weights cannot be opened, or as `describe_bundle`.
    """
    row = describe_bundle(folder, store)
    load_bundle(folder)
    if store:
        upload(folder, row.location)
    return row._replace(checksum=checksum(str(folder)))

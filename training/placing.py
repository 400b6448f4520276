"""How a bundle gets to where it is to lie, and what its row in the registry says then."""

from pathlib import Path

from registry.locations import checksum, manifest_at, upload
from registry.versions import ModelVersion
from schemas.bundle import UnusableBundle, made_at
from training.bundles import open_bundle
from training.errors import UnusableModel


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


def place(folder: Path, store: str | None = None) -> ModelVersion:
    """Copy a bundle to where it is to lie; return the row that `training.registry.add` then makes of it.

    In no transaction: a rollback must not wait for it.

    Args:
        folder: of the bundle.
        store: folder or URL to copy it into, under its version's name; None leaves it where it is.

    Raises:
        UnusableLocation: the store cannot be written, or holds another bundle of that name.
        BrokenBundle: the folder holds no complete bundle of this version of the code.
        UnusableModel: its weights cannot be opened, or as `described`.
    """
    row = described(folder, store)
    open_bundle(folder)
    if store:
        upload(folder, row.location)
    return row._replace(checksum=checksum(str(folder)))


def _within(store: str, version: str) -> str:
    if "/" in version or version in {".", ".."}:
        raise UnusableModel(f"version {version!r} cannot name a folder. Export the bundle anew")
    if "://" not in store:
        store = str(Path(store).resolve())
    return f"{store.rstrip('/')}/{version}"

"""Bundles that were downloaded: each in a folder that the cache marks as its own, until nobody asks for it."""

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fsspec.implementations.local import LocalFileSystem

from registry.contents import Bundle, bundle_files, check_bundle, require_complete
from registry.stores import open_store, problems
from schemas.bundle import MANIFEST

_MARK: Final = ".of-the-cache"
"""File in each folder that the cache made. Only such folders are ever deleted."""

_KEPT_S: Final = 7 * 24 * 3600
"""Seconds after which a cache deletes an entry that nobody asked for or kept."""


def download(location: str, cache: Path) -> Bundle:
    """Return a bundle in a folder: its own where it is local, otherwise one in the cache.

    Args:
        location: folder or URL of the bundle.
        cache: folder for what is downloaded; a bundle that it holds already is not downloaded again, one that nobody
            has asked for or `keep`s in a week is deleted, and several processes may share it.

    Raises:
        UnusableLocation: the location cannot be read, or the cache not written.
        BrokenBundle: there is no complete bundle, or one with files that nobody may open.
    """
    manifest, config = check_bundle(location)
    with problems(location):
        system, root = open_store(location)
        if isinstance(system, LocalFileSystem):
            return Bundle(Path(root), manifest, config)
        # Two stores may each hold a bundle of one name.
        digest = hashlib.sha256(f"{location}\n".encode() + system.cat_file(f"{root}/{MANIFEST}")).hexdigest()
        target = cache / f"{manifest.version}-{digest[:16]}"
        if target.exists():
            require_complete(target)
            os.utime(target)
            return Bundle(target, manifest, config)
        cache.mkdir(parents=True, exist_ok=True)
        _forget_unused(cache)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
        try:
            (unfinished / _MARK).touch()
            for name in bundle_files(location, system, root):
                system.get_file(f"{root}/{name}", str(unfinished / name))
            require_complete(unfinished)
            _move(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Bundle(target, manifest, config)


def keep(version: str, cache: Path) -> None:
    """Have a cache hold for another week what it has of a version, as if somebody had asked for it."""
    # Another process may delete it, or this user not own it: then it is downloaded again one day.
    with suppress(OSError):
        for folder in cache.iterdir():
            if folder.name.rpartition("-")[0] == version:
                os.utime(folder)


def forget(folder: Path) -> None:
    """Delete what `download` brought, but not the bundle that is used where it lies."""
    if _ours(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _forget_unused(cache: Path) -> None:
    """Delete what nobody needs any more, and what a process that died left unfinished."""
    for folder in cache.iterdir():
        # Another process may be faster.
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _KEPT_S:
                forget(folder)


def _ours(folder: Path) -> bool:
    return (folder / _MARK).is_file() and not folder.is_symlink()


def _move(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        # Another process may have been faster.
        if not target.exists():
            raise

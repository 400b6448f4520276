"""Where bundles lie: a folder, or any URL that fsspec opens, such as s3://bucket/models/name.

A bundle is complete where its manifest is, so the manifest is the last file to be written and the first to be deleted.
What was placed in a store is marked there, and nothing else is ever deleted.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from registry.contents import bundle_files, checksum, files_of, manifest_at
from registry.errors import UnusableLocation
from registry.stores import list_files, open_store, problems
from schemas.bundle import MANIFEST, is_bundle_file

_MARK: Final = ".placed-by-asr-emotions"
"""File in the folder of each bundle that was copied into a store; it is written first and deleted last."""

_REPORTS: Final = ("metrics.json", "report.html")
"""What earlier versions wrote into a bundle that they placed: it quotes what people said, and goes with the bundle."""

_PROBE: Final = ".can-be-written"


class _Version(msgspec.Struct):
    version: str


def upload(folder: Path, location: str) -> None:
    """Copy a bundle's files, the manifest last; what an interrupted try left is written over, or deleted.

    Args:
        folder: the bundle's folder; it may hold other files too.
        location: folder or URL that is to hold the files; made if it is not there.

    Raises:
        UnusableLocation: it cannot be written, or holds another bundle, or files that nobody placed there.
        BrokenBundle: the folder holds no complete bundle, or one with files that nobody may open.
    """
    manifest_at(str(folder))
    content = (folder / MANIFEST).read_bytes()
    files = files_of(str(folder))
    with problems(location):
        system, root = open_store(location)
        there = bundle_files(location, system, root)
        if MANIFEST in there and system.cat_file(f"{root}/{MANIFEST}") != content:
            raise UnusableLocation(f"{location} holds another bundle: name another place")
        if MANIFEST in there and files.items() <= there.items() and checksum(location) == checksum(str(folder)):
            return
        if there and _MARK not in list_files(system, root):
            raise UnusableLocation(
                f"{location} holds files that were not placed there by this command: remove them, or name another place"
            )
        system.makedirs(root, exist_ok=True)
        system.pipe_file(f"{root}/{_MARK}", b"Its bundle is deleted by `emotion-training models prune`.\n")
        for name in there.keys() - files.keys():
            system.rm_file(f"{root}/{name}")
        for name in sorted(files):
            if name != MANIFEST:
                system.put_file(str(folder / name), f"{root}/{name}")
        system.pipe_file(f"{root}/{MANIFEST}", content)


def require_writable(store: str) -> None:
    """Make sure that bundles can be copied into a folder or URL, by a file that is deleted at once.

    Raises:
        UnusableLocation: it cannot be written.
    """
    with problems(store):
        system, root = open_store(store)
        system.makedirs(root, exist_ok=True)
        system.pipe_file(f"{root}/{_PROBE}", b"Delete me")
        # It may forbid that, and another process may have been faster.
        with suppress(OSError):
            system.rm_file(f"{root}/{_PROBE}")


def is_placed(location: str) -> bool:
    """Whether a bundle was copied there by `upload`, so that `delete` deletes it.

    Raises:
        UnusableLocation: the location cannot be reached.
    """
    with problems(location):
        return _MARK in list_files(*open_store(location))


def adopt(location: str) -> None:
    """Mark a bundle that `upload` copied there before there were marks; nothing happens where there is none any more.

    Raises:
        UnusableLocation: the location cannot be written.
    """
    with problems(location):
        system, root = open_store(location)
        if any(map(is_bundle_file, list_files(system, root))):
            system.pipe_file(f"{root}/{_MARK}", b"")


def delete(location: str, version: str) -> None:
    """Delete a bundle that was placed there, and its folder if nothing else is there; one that is gone is no error.

    Args:
        location: folder or URL of the bundle.
        version: the bundle's version; where another one lies by now, or one that nobody placed there, it stays.

    Raises:
        UnusableLocation: the location cannot be reached, or forbids it.
        BrokenBundle: the manifest cannot be read.
    """
    with problems(location):
        system, root = open_store(location)
        all_names = list_files(system, root)
        if _MARK not in all_names:
            return
        names = [name for name in all_names if is_bundle_file(name) or name in _REPORTS]
        if MANIFEST in names:
            there = msgspec.json.decode(system.cat_file(f"{root}/{MANIFEST}"), type=_Version)
            if there.version != version:
                return
        for name in [*sorted(names, key=lambda name: name != MANIFEST), _MARK]:
            # Another process may be deleting it too.
            with suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")
        # Folders that hold something else, and stores that have no folders, say no.
        with suppress(OSError):
            system.rmdir(root)

"""Where bundles lie: a folder, or any URL that fsspec opens, such as s3://bucket/models/name.

A bundle is complete where its manifest is, so the manifest is the last file to be written and the first to be deleted.
"""

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from fsspec.implementations.local import LocalFileSystem

from registry.errors import BrokenBundle, UnusableLocation
from registry.stores import file_sizes, open_store, problems
from schemas.bundle import CONFIG, MANIFEST, Manifest, read_manifest

_TOKENIZER: Final = "tokenizer.json"
_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"

_SERVED: Final = (".json", ".safetensors", ".onnx")
"""How the names of files end that a model is loaded from; others, such as a README, are for people."""

_REPORTED: Final = "metrics.json"
"""What a report leaves, where it is written into the bundle's folder; no model is loaded from it."""

_PROBE: Final = ".can-be-written"

_KEPT_S: Final = 7 * 24 * 3600
"""What a cache holds and nobody has asked for or kept in so many seconds is deleted from it."""


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Version(msgspec.Struct):
    version: str


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


def upload(folder: Path, location: str) -> None:
    """Copy a bundle's files, the manifest last; what an interrupted try left is written over, or deleted.

    Args:
        folder: of the bundle; what lies in folders within is not part of it.
        location: folder or URL that is to hold the files; made if it is not there.

    Raises:
        UnusableLocation: it cannot be written, or holds another bundle.
        BrokenBundle: the folder holds no complete bundle.
    """
    manifest_at(str(folder))
    content = (folder / MANIFEST).read_bytes()
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    with problems(location):
        system, root = open_store(location)
        there = file_sizes(system, root)
        if MANIFEST in there and system.cat_file(f"{root}/{MANIFEST}") != content:
            raise UnusableLocation(f"{location} holds another bundle: name another place")
        if MANIFEST in there and files.items() <= there.items() and checksum(location) == checksum(str(folder)):
            return
        system.makedirs(root, exist_ok=True)
        for name in there.keys() - files.keys():
            if _served(name):
                system.rm_file(f"{root}/{name}")
        for name in files:
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


def download(location: str, cache: Path) -> Path:
    """Return a folder that holds the bundle: its own where it is local, otherwise one in the cache.

    Args:
        location: folder or URL of the bundle.
        cache: folder for what is downloaded; a bundle that it holds already is not downloaded again, one that nobody
            has asked for or `keep`s in a week is deleted, and several processes may share it.

    Raises:
        UnusableLocation: the location cannot be read, or the cache not written.
        BrokenBundle: there is no complete bundle.
    """
    manifest = manifest_at(location)
    with problems(location):
        system, root = open_store(location)
        if isinstance(system, LocalFileSystem):
            return Path(root)
        # Two stores may each hold a bundle of one name.
        digest = hashlib.sha256(f"{location}\n".encode() + system.cat_file(f"{root}/{MANIFEST}")).hexdigest()
        target = cache / f"{manifest.version}-{digest[:12]}"
        if target.exists():
            os.utime(target)
            return target
        cache.mkdir(parents=True, exist_ok=True)
        _forget_unused(cache)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=cache))
        try:
            for name in file_sizes(system, root):
                system.get_file(f"{root}/{name}", str(unfinished / name))
            manifest_at(str(unfinished))
            _move(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def keep(version: str, cache: Path) -> None:
    """Have a cache hold for another week what it has of a version, as if somebody had asked for it."""
    # Another process may delete it, or this user not own it: then it is downloaded again one day.
    with suppress(OSError):
        for folder in cache.iterdir():
            if folder.name.rpartition("-")[0] == version:
                os.utime(folder)


def forget(folder: Path, location: str) -> None:
    """Delete what `download` brought from a location, but not the bundle that is used where it lies."""
    if str(folder) != open_store(location)[1]:
        shutil.rmtree(folder, ignore_errors=True)


def checksum(location: str) -> str:
    """Return the SHA-256 of a bundle's files, names and contents, that a model is loaded from; 64 hexadecimal digits.

    In a local folder it is that of `sha256sum`'s lines on these files, in the order of their names.

    Raises:
        UnusableLocation: the location cannot be read.
    """
    lines = hashlib.sha256()
    with problems(location):
        system, root = open_store(location)
        for name in sorted(file_sizes(system, root)):
            if _served(name):
                with system.open(f"{root}/{name}") as file:
                    lines.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return lines.hexdigest()


def manifest_at(location: str) -> Manifest:
    """Return a bundle's manifest, after making sure that its files are there and its weights not cut short.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: there is no complete bundle, or it is none for this version.
    """
    with problems(location):
        system, root = open_store(location)
        sizes = file_sizes(system, root)
        _require(location, sizes, MANIFEST, CONFIG, _TOKENIZER)
        manifest = read_manifest(system.cat_file(f"{root}/{MANIFEST}"))
        weights = {_WEIGHTS}
        if _INDEX in sizes:
            weights = set(msgspec.json.decode(system.cat_file(f"{root}/{_INDEX}"), type=_Index).weight_map.values())
        _require(location, sizes, *weights)
        for name in sorted(weights):
            _require_whole(system, f"{root}/{name}", sizes[name])
    return manifest


def delete(location: str, version: str) -> None:
    """Delete a bundle's files, and its folder if nothing else is there; one that is gone already is no error.

    Args:
        location: folder or URL of the bundle.
        version: of the bundle; where another one lies by now, it stays.

    Raises:
        UnusableLocation: the location cannot be reached, or forbids it.
        BrokenBundle: the manifest cannot be read.
    """
    with problems(location):
        system, root = open_store(location)
        names = sorted(file_sizes(system, root), key=lambda name: name != MANIFEST)
        if MANIFEST in names:
            there = msgspec.json.decode(system.cat_file(f"{root}/{MANIFEST}"), type=_Version)
            if there.version != version:
                return
        for name in names:
            # Another process may be deleting it too.
            with suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")
        # Folders that hold something else, and stores that have no folders, say no.
        with suppress(OSError):
            system.rmdir(root)


def _forget_unused(cache: Path) -> None:
    """Delete what nobody needs any more, and what a process that died left unfinished."""
    for folder in cache.iterdir():
        # Another process may be faster.
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)


def _move(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        # Another process may have been faster.
        if not target.exists():
            raise


def _served(name: str) -> bool:
    return name.endswith(_SERVED) and name != _REPORTED


def _require(location: str, sizes: dict[str, int], *names: str) -> None:
    missing = sorted(set(names) - set(sizes))
    if missing:
        raise BrokenBundle(f"{location} holds no complete bundle: {', '.join(missing)} is missing. Copy it there anew")


def _require_whole(system: Any, path: str, size: int) -> None:
    """Compare a file's size with what its header says; source: the safetensors format, "Format" in its README."""
    with system.open(path) as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < size else b""
    tensors = msgspec.json.decode(header, type=dict[str, _Tensor])
    if size != 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0):
        raise BrokenBundle(f"{path} is cut short. Copy the bundle anew")

"""What of a folder is a bundle: files of known names, whole, none of which leads elsewhere or may run code.

A bundle may come from anybody who can write to a store, so nothing of it is opened before this was looked at.
"""

import hashlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from fsspec.implementations.local import LocalFileSystem

from registry.errors import BrokenBundle
from registry.stores import list_files, open_store, problems
from schemas.bundle import (
    CARD,
    CONFIG,
    MANIFEST,
    PICKLES,
    TOKENIZER,
    WEIGHTS,
    WEIGHTS_INDEX,
    Manifest,
    is_bundle_file,
    read_manifest,
)
from schemas.model_files import Config, read_config, read_index

_LONGEST: Final = 4 << 20
"""Bytes of a manifest, a configuration or an index; the released manifest has 27 thousand."""

_LONGEST_HEADER: Final = 100_000_000
"""Bytes; source: the safetensors format, "Format" in its README."""


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


class Bundle(NamedTuple):
    """A bundle whose files are safe to open, and that is one for this version of the code; without its weights."""

    folder: Path
    manifest: Manifest
    config: Config


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle in a folder: all of it but the tokenizer and the weights.

    Raises:
        BrokenBundle: the folder holds no bundle, or one that is not safe or not for this version of the code.
        UnusableLocation: the folder cannot be read.
    """
    return Bundle(folder, *_read(str(folder), complete=False))


def check_bundle(location: str) -> tuple[Manifest, Config]:
    """Read a bundle in a folder or at a URL, after making sure that its files are there and its weights not cut short.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: there is no complete bundle, or as `open_bundle`.
    """
    return _read(location, complete=True)


def manifest_at(location: str) -> Manifest:
    """Return the manifest of a bundle that is complete; see `check_bundle`."""
    return check_bundle(location)[0]


def _read(location: str, *, complete: bool) -> tuple[Manifest, Config]:
    with problems(location):
        system, root = open_store(location)
        sizes = bundle_files(location, system, root)
        _require(location, sizes, MANIFEST)
        manifest = read_manifest(system.cat_file(f"{root}/{MANIFEST}"))
        _require(location, sizes, CONFIG, TOKENIZER)
        config = read_config(system.cat_file(f"{root}/{CONFIG}"), manifest)
        weights = _weights(system, root, sizes)
        if complete:
            _require_weights(location, system, root, sizes, weights)
    return manifest, config


def require_complete(folder: Path) -> None:
    """Make sure that a copy of a bundle has all its files, and weights that are not cut short.

    Raises:
        BrokenBundle: a file is missing, cut short or not safe to open.
        UnusableLocation: the folder cannot be read.
    """
    location = str(folder)
    with problems(location):
        system, root = open_store(location)
        sizes = bundle_files(location, system, root)
        _require(location, sizes, MANIFEST, CONFIG, TOKENIZER)
        _require_weights(location, system, root, sizes, _weights(system, root, sizes))


def checksum(location: str) -> str:
    """Return the SHA-256 of a bundle's files, names and contents, but for the card; 64 hexadecimal digits.

    In a local folder it is that of `sha256sum`'s lines on these files, in the order of their names.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: a file is not safe to open.
    """
    lines = hashlib.sha256()
    with problems(location):
        system, root = open_store(location)
        for name in sorted(bundle_files(location, system, root)):
            if name != CARD:
                with system.open(f"{root}/{name}") as file:
                    lines.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return lines.hexdigest()


def read_file(location: str, name: str) -> bytes | None:
    """Return the content of one of a bundle's files, None where it has none of that name.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: a file is not safe to open.
    """
    with problems(location):
        system, root = open_store(location)
        if name not in bundle_files(location, system, root):
            return None
        content: bytes = system.cat_file(f"{root}/{name}")
        return content


def files_of(location: str) -> dict[str, int]:
    """Return the size in bytes of each of a bundle's files, by name.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: a file is not safe to open.
    """
    with problems(location):
        return bundle_files(location, *open_store(location))


def bundle_files(location: str, system: Any, root: str) -> dict[str, int]:
    """Return the size in bytes of each of a bundle's files, by name; what else lies there is none of it.

    Args:
        location: the bundle's folder or URL, for messages.
        system: fsspec's file system that holds it.
        root: path of the location in it.

    Raises:
        BrokenBundle: a file may run code, leads elsewhere, is none at all, or is far too large.
    """
    sizes = {}
    for name, item in list_files(system, root).items():
        if name.endswith(PICKLES):
            raise BrokenBundle(
                f"{location} holds {name}, which may run code when it is opened. Remove it: weights are read from "
                "safetensors alone"
            )
        if not is_bundle_file(name):
            continue
        if item.get("islink") and not _of_the_hubs_cache(system, root, name):
            raise BrokenBundle(f"{location}: {name} is a link, which may lead anywhere. Copy the file itself there")
        if item["type"] != "file" and not (item.get("islink") and system.isfile(item["name"])):
            raise BrokenBundle(f"{location}: {name} is no file. Copy the bundle again")
        if name in {MANIFEST, CONFIG, WEIGHTS_INDEX} and item["size"] > _LONGEST:
            raise BrokenBundle(f"{location}: {name} is larger than {_LONGEST >> 20} MiB. Copy the bundle again")
        sizes[name] = item["size"]
    return sizes


def _of_the_hubs_cache(system: Any, root: str, name: str) -> bool:
    """Whether a link is one of those that `huggingface_hub` makes, from snapshots/REVISION to the files in blobs."""
    folder = Path(root).resolve()
    blobs = folder.parent.parent / "blobs"
    return (
        isinstance(system, LocalFileSystem)
        and folder.parent.name == "snapshots"
        and (folder / name).resolve().parent == blobs
    )


def _weights(system: Any, root: str, sizes: dict[str, int]) -> set[str]:
    """Return the names of the files of the weights."""
    return read_index(system.cat_file(f"{root}/{WEIGHTS_INDEX}")) if WEIGHTS_INDEX in sizes else {WEIGHTS}


def _require(location: str, sizes: dict[str, int], *names: str) -> None:
    missing = sorted(set(names) - set(sizes))
    if missing:
        raise BrokenBundle(
            f"{location} holds no complete bundle: {', '.join(missing)} is missing. Name a folder that "
            "`emotion-training fit` wrote, or copy the bundle there again"
        )


def _require_weights(location: str, system: Any, root: str, sizes: dict[str, int], weights: set[str]) -> None:
    _require(location, sizes, *weights)
    for name in sorted(weights):
        _require_whole(system, f"{root}/{name}", sizes[name])


def _require_whole(system: Any, path: str, size: int) -> None:
    """Compare a file's size with what its header says; source: the safetensors format, "Format" in its README."""
    with system.open(path) as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length < min(size, _LONGEST_HEADER) else b""
    tensors = msgspec.json.decode(header, type=dict[str, _Tensor])
    if size != 8 + length + max((tensor.data_offsets[1] for tensor in tensors.values()), default=0):
        raise BrokenBundle(f"{path} is cut short. Copy the bundle again")

"""A folder, or a place that fsspec opens by a URL: its files, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from fsspec.core import url_to_fs

from registry.errors import BrokenBundle, RegistryError, UnknownProtocol, UnusableLocation, first_line
from schemas.bundle import UnusableBundle


@contextmanager
def problems(location: str) -> Iterator[None]:
    """Turn the errors of file systems and of a bundle's files into those that callers know.

    Raises:
        UnknownProtocol: nothing here opens such a URL.
        UnusableLocation: the location cannot be read or written.
        BrokenBundle: a file that lies there is none of a bundle.
    """
    try:
        yield
    except RegistryError:
        raise
    except UnusableBundle as error:
        raise BrokenBundle(f"{location}: {error}") from error
    except msgspec.MsgspecError as error:
        raise BrokenBundle(f"{location}: its files cannot be read ({error}). Copy the bundle again") from error
    except ImportError as error:
        # fsspec says which package opens such a URL.
        raise UnknownProtocol(f"{location}: {error}") from error
    except (OSError, ValueError) as error:
        raise UnusableLocation(
            f"{location} cannot be used ({first_line(error)}). Check the address, and that this user may read and "
            "write there"
        ) from error


def open_store(location: str) -> tuple[Any, str]:
    """Return fsspec's file system that holds a location, and the location's path in it, without a slash at its end.

    Raises:
        UnknownProtocol: see `problems`, within which this is to be called.
    """
    try:
        system, root = url_to_fs(location)
    except ValueError as error:
        raise UnknownProtocol(f"{location}: {first_line(error)}. Check the address") from error
    # Listings are kept by some of fsspec's file systems, and other machines write there too.
    system.invalidate_cache()
    return system, root.rstrip("/")


def list_files(system: Any, root: str) -> dict[str, dict[str, Any]]:
    """Return what a folder holds, by name, as fsspec describes it; empty where there is no such folder."""
    try:
        found = system.ls(root, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {item["name"].rstrip("/").rsplit("/", 1)[-1]: item for item in found}

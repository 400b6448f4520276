"""Which texts a model knows: hashes in its bundle, so that none of them judges it, under any name of their set.

A hash has 32 bits of the SHA-256 of a text's words. No text can be read out of them, yet whoever has the file can try
whether a text that they guess is among them. Of texts that are not, one in 40,000 seems to be, where 100,000 are known.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.contents import read_file
from registry.errors import UnusableModel
from schemas.bundle import KNOWN_TEXTS
from training.data.splits import identity

ALL_TEXTS_KNOWN: Final = "all_texts_known"
"""Among the metrics of a manifest: whether the bundle's list of known texts holds all that its network has learnt."""


class KnownTexts:
    """Hashes of texts, however those are spelled.

    Args:
        hashes: n hashes of 32 bits, in any order.
    """

    def __init__(self, hashes: NDArray[np.uint32] | Iterable[int] = ()) -> None:
        self._hashes = np.unique(np.fromiter(hashes, "<u4"))

    @classmethod
    def of(cls, texts: Iterable[str]) -> "KnownTexts":
        """Return the hashes of texts."""
        return cls(_hash(identity(text)) for text in texts)

    @classmethod
    def decode(cls, content: bytes) -> "KnownTexts":
        """Return what `encode` made.

        Raises:
            ValueError: it did not make that.
        """
        return cls(np.frombuffer(content, "<u4"))

    def encode(self) -> bytes:
        """Return four bytes a hash, in their order."""
        return self._hashes.tobytes()

    def __len__(self) -> int:
        return len(self._hashes)

    def __or__(self, other: "KnownTexts") -> "KnownTexts":
        return KnownTexts(np.concatenate([self._hashes, other._hashes]))

    def holds(self, name: str) -> bool:
        """Whether a text is known.

        Args:
            name: identity of the text; see `training.data.splits`.
        """
        at = int(np.searchsorted(self._hashes, np.uint32(_hash(name))))
        return at < len(self._hashes) and int(self._hashes[at]) == _hash(name)


def known_texts(location: str) -> KnownTexts:
    """Return the texts that a bundle's model has learnt, as far as the bundle says.

    Args:
        location: folder or URL of the bundle; earlier versions wrote bundles without the file.

    Raises:
        UnusableLocation: the location cannot be read.
        BrokenBundle: files there may not be opened.
        UnusableModel: the file is damaged.
    """
    try:
        return KnownTexts.decode(read_file(location, KNOWN_TEXTS) or b"")
    except ValueError as error:
        raise UnusableModel(f"{location}/{KNOWN_TEXTS} is damaged. Copy the bundle there again") from error


def tells_all(metrics: Mapping[str, Any]) -> bool:
    """Return whether a bundle's file names all texts that its network has learnt, by the manifest's metrics."""
    return bool(metrics.get(ALL_TEXTS_KNOWN))


def _hash(name: str) -> int:
    # The first bits of an identity say which side its text is on, so they differ least.
    return int(name[-8:], 16)

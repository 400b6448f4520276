"""What is kept of a text: all of it, a hash, or nothing; without the numbers that nobody needs."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from schemas.redaction import Secret, redact

StoreText = Literal["yes", "hash", "no"]


class KeptText(NamedTuple):
    """Text and hash of a row."""

    text: str | None
    hash: bytes | None


class Keeping(NamedTuple):
    """How texts are kept.

    Attributes:
        store: the text, its hash, or neither.
        redacted: kinds of numbers that are taken out before.
    """

    store: StoreText = "yes"
    redacted: Sequence[Secret] = ()

    def keep(self, text: str) -> KeptText:
        """Return what is kept of a text; the hash is its SHA-256 once numbers are taken out.

        Nothing of a number remains in a hash so, which could be found by trying all numbers. Texts that are short, or
        guessed, can be.
        """
        if self.store == "no":
            return KeptText(None, None)
        said = redact(text, self.redacted)
        if self.store == "hash":
            return KeptText(None, hashlib.sha256(said.encode()).digest())
        return KeptText(said, None)


KEEP_ALL = Keeping()

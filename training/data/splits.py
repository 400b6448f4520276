"""Which texts are held out: decided by the call, or the text where that is unknown, and so alike in all retrainings.

New labels add texts to all sides and move none, so the holdout only grows.
"""

import hashlib
from typing import Final, Literal

from schemas.normalization import normalize
from training.data.text_forms import as_spoken

SHARE: Final = 0.2
"""Of all distinct texts: they judge."""

VALIDATION: Final = 0.1
"""The share next to it, which chooses thresholds and calibration. What judges must not choose, or it flatters."""

Side = Literal["train", "validation", "holdout"]

_BITS: Final = 64


def identity(text: str) -> str:
    """Return the first 64 bits of the SHA-256 of a text's words, as a recognizer would write them: 16 hex digits.

    So no case, mark or filler parts two forms of a text.
    """
    # Without its marks a text can show another stutter ("я, я!"); and "?!" has no words, yet it is a text.
    said = normalize(as_spoken(text)) or normalize(text)
    return hashlib.sha256(said.encode()).hexdigest()[: _BITS // 4]


def is_held_out(text: str, share: float = SHARE) -> bool:
    """Return whether a text belongs to the holdout.

    It is held out where its `identity` lies below the share when read as a fraction. So what is held out at one share
    is held out at any larger one. A new normalizer that spells a text otherwise draws its side again: the first
    candidate after such a change is to be fitted from the base, not from the champion, which may have learnt it.

    Args:
        text: as received or as labelled.
        share: of all distinct texts that are held out, 0 to 1.

    Raises:
        ValueError: the share is no share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share held out is {share}; it must be 0 to 1")
    return _lies_below(identity(text), share)


def split_of(text: str, session: str = "") -> Side:
    """Return what a text is for: to teach, to choose thresholds and calibration, or to judge.

    Args:
        text: as received or as labelled.
        session: the call that it is of, all of whose texts are for one thing; empty where nobody knows it.
    """
    return side_of(identity(text), session)


def side_of(name: str, session: str = "") -> Side:
    """Return what the text of an identity is for; see `side`."""
    if session:
        name = hashlib.sha256(f"call {session}".encode()).hexdigest()[: _BITS // 4]
    if _lies_below(name, SHARE):
        return "holdout"
    return "validation" if _lies_below(name, SHARE + VALIDATION) else "train"


def _lies_below(name: str, share: float) -> bool:
    return int(name, 16) < share * (1 << _BITS)

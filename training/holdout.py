"""Which texts are held out: decided by the text alone, so that no retraining ever learns what another is judged on.

New labels add texts to both sides and move none, so the holdout only grows.
"""

import hashlib
from typing import Final

from schemas.normalization import normalize
from training.augmentation import as_spoken

SHARE: Final = 0.2

_BYTES: Final = 8


def is_held_out(text: str, share: float = SHARE) -> bool:
    """Return whether a text belongs to the holdout.

    It is held out where the first 64 bits of the SHA-256 of its words, as a recognizer would write them, lie below the
    share when read as a fraction. So no case, mark or filler parts two forms of a text, and what is held out at one
    share is held out at any larger one. A new normalizer that spells a text otherwise draws its side anew: the first
    candidate after such a change is to be fitted from the base, not from the champion, which may have learnt it.

    Args:
        text: as received or as labelled.
        share: of all distinct texts that are held out, 0 to 1.

    Raises:
        ValueError: the share is no share.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share held out is {share}; it must be 0 to 1")
    # Without its marks a text can show another stutter ("я, я!"); and "?!" has no words, yet it is a text.
    said = normalize(as_spoken(text)) or normalize(text)
    digest = hashlib.sha256(said.encode()).digest()
    return int.from_bytes(digest[:_BYTES], "big") < share * (1 << 8 * _BYTES)

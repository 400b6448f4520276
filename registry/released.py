"""The bundle that comes with the code: what is served, and retrained from, while nobody has promoted another."""

import sys
from pathlib import Path
from typing import Final

from registry.errors import UnusableLocation

NAME: Final = "ru-emotions-small"


def released_model() -> Path:
    """Return the folder of the released bundle, from any working directory: beside the code, else where data lies.

    Raises:
        UnusableLocation: it was not installed with the code.
    """
    places = (Path(__file__).resolve().parent.parent, Path(sys.prefix) / "share" / "asr-emotions")
    folders = [place / "models" / NAME for place in places]
    found = next(filter(Path.is_dir, folders), None)
    if found is None:
        raise UnusableLocation(f"the released model is not installed: neither {folders[0]} nor {folders[1]} is there")
    return found

"""The bundles that come with the code: one is served, and retrained from, while nobody has promoted another."""

import sys
from pathlib import Path
from typing import Final

from registry.errors import UnusableLocation

NAME: Final = "ru-emotions-small"
"""The bundle that is served by default."""

SHORT_NAMES: Final = {"small": NAME, "tiny": "ru-emotions-tiny"}
"""What the bundles are called in settings."""


def released_model(name: str = NAME) -> Path:
    """Return the folder of a released bundle, from any working directory: next to the code, else where data lies.

    Args:
        name: name of the bundle's folder.

    Raises:
        UnusableLocation: it was not installed with the code.
    """
    places = (Path(__file__).resolve().parent.parent, Path(sys.prefix) / "share" / "asr-emotions")
    folders = [place / "models" / name for place in places]
    found = next(filter(Path.is_dir, folders), None)
    if found is None:
        raise UnusableLocation(
            f"the released model is not installed: neither {folders[0]} nor {folders[1]} is there. Copy "
            f"the repository's models/{name} to the latter"
        )
    return found


def named_folder(model: str) -> Path:
    """Return the folder that a bundle's name means: a folder comes before a short name of a released bundle.

    Args:
        model: a folder, small or tiny.

    Raises:
        UnusableLocation: the released bundle was not installed with the code.
    """
    folder = Path(model)
    return released_model(SHORT_NAMES[model]) if model in SHORT_NAMES and not folder.is_dir() else folder

"""Options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from registry.released import named_folder


def _folder(_: object, tokens: Sequence[Token]) -> Path:
    return named_folder(tokens[0].value)


BundleFolder = Annotated[Path, Parameter(converter=_folder)]
"""A bundle's folder, or small or tiny for one that comes with the code."""

Names = Annotated[list[str], Parameter(consume_multiple=True)]
"""Sets: folders, files or hub names."""

Overrides = Annotated[list[str], Parameter(name="--set", consume_multiple=True)]
"""Settings on top of a recipe, as name=value."""

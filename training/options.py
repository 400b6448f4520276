"""Options that several commands have."""

from typing import Annotated

from cyclopts import Parameter

Names = Annotated[list[str], Parameter(consume_multiple=True)]
"""Sets: folders, files or hub names."""

Overrides = Annotated[list[str], Parameter(name="--set", consume_multiple=True)]
"""Settings on top of a recipe, as name=value."""

"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Names = Annotated[list[str], Parameter(consume_multiple=True)]
"""Sets: folders, files or hub names."""

Public = Annotated[list[str] | None, Parameter(consume_multiple=True, env_var="TRAINING_PUBLIC")]
"""Sets that judge too; in the environment with spaces between, and empty for none."""

Overrides = Annotated[list[str], Parameter(name="--set", consume_multiple=True)]
"""Settings on top of a recipe, as name=value."""

Store = Annotated[str | None, Parameter(env_var="TRAINING_MODEL_STORE")]
"""Folder or URL of the bundles."""

Work = Annotated[Path | None, Parameter(env_var="TRAINING_WORK")]
"""Folder for what a run has on the disk while it lasts."""

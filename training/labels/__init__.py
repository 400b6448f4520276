"""Labels that people give: from files into the database, and from the database out to be given."""

from typing import Literal

Strategy = Literal["uncertain", "random", "rare", "disagreement"]
"""How texts are drawn that are to be labelled; see `training.labels.tasks`."""

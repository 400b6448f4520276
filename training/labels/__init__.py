"""Labels that people give: from files into the database, and from the database out to be given."""

from typing import Literal

Strategy = Literal["uncertain", "random", "rare", "disagreement"]
"""How texts are drawn that are to be labelled; see `training.labels.tasks`."""

Blind = Literal["judging", "all", "none"]
"""Which tasks come without the model's answer: those whose labels judge models or choose thresholds, all, or none."""

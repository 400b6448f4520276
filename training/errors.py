"""What can go wrong in training and is the user's to put right; anything else ends in a trace."""

from registry.errors import UnusableModel, UnusableOutput, first_line
from schemas.errors import UserError

__all__ = [
    "AnotherRun",
    "LostRun",
    "OutOfMemory",
    "UnusableData",
    "UnusableModel",
    "UnusableOutput",
    "UnusableRecipe",
    "first_line",
]


class UnusableData(UserError):
    """A data set is missing, or is not in the form in which it was published."""


class UnusableRecipe(UserError):
    """A recipe, or an option in place of one, says what cannot be."""


class OutOfMemory(UserError):
    """The GPU has no memory for a step."""


class AnotherRun(UserError):
    """Another process is retraining on this database."""


class LostRun(UserError):
    """The run's lock went to another process, which has called this run failed."""

"""What can go wrong in training and is the user's to put right; anything else ends in a trace."""

from registry.errors import first_line

__all__ = [
    "OutOfMemory",
    "TrainingError",
    "UnusableData",
    "UnusableModel",
    "UnusableOutput",
    "UnusableRecipe",
    "first_line",
]


class TrainingError(Exception):
    """Base of the errors below; the message is one line and says what to do."""


class UnusableData(TrainingError):
    """A data set is missing, or is not in the form in which it was published."""


class UnusableModel(TrainingError):
    """The base encoder or the bundle cannot be opened."""


class UnusableOutput(TrainingError):
    """The bundle must not be written there."""


class UnusableRecipe(TrainingError):
    """A recipe, or an option in place of one, says what cannot be."""


class OutOfMemory(TrainingError):
    """The GPU has no memory for a step."""

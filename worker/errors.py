"""What can go wrong, sorted by what the worker does about it; and what a log may say of it."""

from registry.errors import Away, ConfigurationError, RejectedData
from registry.traces import account_of
from schemas.errors import UserError
from schemas.transcripts import InvalidTranscript

__all__ = ["Away", "ConfigurationError", "OffsetOutOfRange", "RejectedData", "TooManyDeadLetters", "loggable_text"]


class TooManyDeadLetters(ConfigurationError):
    """The circuit breaker is open: so much is rejected that the deployment is to blame, not the data."""


class OffsetOutOfRange(ConfigurationError):
    """The log no longer holds the next offset, and the settings forbid to skip over the gap."""


def loggable_text(error: BaseException) -> str:
    """Return what a log may say of an error, which is nothing that a person said.

    Why data are rejected is told by a library, which may quote them: only its kind is told, and the dead letter's
    headers hold the rest.
    """
    if isinstance(error, RejectedData) and error.__cause__:
        return f"RejectedData: {type(error.__cause__).__name__}"
    if isinstance(error, UserError | InvalidTranscript):
        return str(error)
    return account_of(error)

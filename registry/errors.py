"""Errors that both programs tell apart."""

from schemas.bundle import UnusableBundle
from schemas.errors import UserError


class ConfigurationError(UserError):
    """The deployment is wrong, not the data: stop at once, with exit code 2. Restarting does not help."""


class Away(UserError):
    """A service cannot be reached now: back off, lose nothing, go on by itself."""


class RejectedData(UserError):
    """The model or the database refuses something in the data: find the culprits, and do without them."""


class RegistryError(UserError):
    """A bundle, its place or its version cannot be used."""


class UnusableLocation(RegistryError):
    """A location cannot be reached, read or written; another time it may."""


class UnknownProtocol(UnusableLocation):
    """Nothing here opens such a URL; no waiting helps."""


class UnusableModel(RegistryError):
    """A model cannot be opened or exported, or gives no scores that could be used."""


class UnusableVersion(RegistryError):
    """There is no such version, or its state does not allow what was asked."""


class UnusableOutput(UserError):
    """Something cannot be written where it is to lie."""


class BrokenBundle(UnusableModel, UnusableBundle):
    """What lies there is no complete bundle of this version of the code."""


def first_line(error: Exception) -> str:
    """Return what a library says first; some write whole paragraphs, and some nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

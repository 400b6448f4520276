"""What can be wrong with where bundles lie; the message is one line and says what to do."""

from schemas.bundle import UnusableBundle


class RegistryError(Exception):
    """Base of the errors below."""


class UnusableLocation(RegistryError):
    """A location cannot be reached, read or written; another time it may."""


class UnknownProtocol(UnusableLocation):
    """Nothing here opens such a URL; no waiting helps."""


class BrokenBundle(RegistryError, UnusableBundle):
    """What lies there is no complete bundle of this version of the code."""


def first_line(error: Exception) -> str:
    """Return what a library says first; some write whole paragraphs, and some nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__

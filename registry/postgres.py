"""Postgres's address, and what its errors say: the one place that reads SQLSTATE and libpq's words."""

import re
from typing import Final

import psycopg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from registry.errors import RegistryError

EXAMPLE: Final = "postgresql://user:password@host:5432/database"

AWAY_STATES: Final = ("08", "53", "57", "58")
"""Classes of SQLSTATE of a server that cannot be reached, or takes nobody now; source: PostgreSQL documentation,
appendix A, error codes. So are those below."""

BUSY_STATES: Final = ("25", "40", "55")
"""Of one that is there, and would do another time what it was asked."""

DATA_STATES: Final = ("22", "23", "44", "54", "P0")
"""Of one that refuses the data."""

_REFUSED_STATES: Final = ("28", "3D", "42501")
_UNMIGRATED_STATES: Final = ("42P01", "42703")

# Before a connection stands there is no SQLSTATE, only libpq's words. That "SSL" is among them says nothing: it is
# also how a TLS connection ends when the server stops.
_REFUSED_WORDS: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|permission denied"
    r"|not permitted|certificate|does not support SSL|SSL required|no encryption|SSL error: (?!unexpected eof)"
    r"|invalid .* value|invalid connection option"
)


class UnusableAddress(RegistryError):
    """A database URL is none of Postgres."""


def address(url: str) -> URL:
    """Return a Postgres URL as SQLAlchemy takes it; libpq's options, such as sslmode, may follow in it.

    Raises:
        UnusableAddress: it is none of Postgres.
    """
    driver_url, replaced = re.subn(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", url)
    if not replaced:
        raise UnusableAddress(f"the database URL must begin with postgresql://, as in {EXAMPLE}")
    try:
        return make_url(driver_url)
    except (ArgumentError, ValueError):
        # Not "from error": it may quote the password.
        raise UnusableAddress(f"the database URL is not of the form {EXAMPLE}") from None


def state(error: psycopg.Error) -> str:
    """Return the SQLSTATE; empty before a connection stands."""
    return error.sqlstate or ""


def said(error: psycopg.Error) -> str:
    """Return the first line of what Postgres says; those that follow may quote data."""
    return str(error).strip().split("\n")[0]


def refused(error: psycopg.Error) -> bool:
    """Whether Postgres refuses us: trying again does not help."""
    return state(error).startswith(_REFUSED_STATES) or (not state(error) and bool(_REFUSED_WORDS.search(said(error))))


def unmigrated(error: psycopg.Error) -> bool:
    """Whether a table or a column is missing."""
    return state(error) in _UNMIGRATED_STATES

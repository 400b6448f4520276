"""Traces of errors that show where and of which kind, and nothing that a person said."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final

from schemas.errors import UserError

_PLAIN: Final = (OSError, ImportError, MemoryError, RuntimeError, TypeError, AttributeError, NameError, UserError)
"""Kinds of errors whose messages name files, types and sizes; those of others, such as KeyError, quote values."""


def account_of(error: BaseException) -> str:
    """Return what a log may say of an error: its class, and its message where that quotes no value."""
    kind = type(error).__name__
    if isinstance(error, UnicodeError) or not isinstance(error, _PLAIN):
        return kind
    said = next(iter(str(error).splitlines()), "")
    return f"{kind}: {said}" if said else kind


def format_trace(error: BaseException | None, account: Callable[[BaseException], str]) -> str:
    """Return the trace of an error and of what it came from, without local variables and quotations.

    Args:
        error: the last one.
        account: returns what is to be said of each.
    """
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{account(error)}\n")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(reversed(parts))


def show_traces(account: Callable[[BaseException], str]) -> None:
    """Have Python show such traces of an error that ends the process or a thread, or cannot be raised.

    Lines that libraries log show no more, where they have no place of their own to go to.
    """

    def show(error: BaseException | None) -> None:
        sys.stderr.write(format_trace(error, account))
        sys.stderr.flush()

    sys.excepthook = lambda _kind, error, _trace: show(error)
    threading.excepthook = lambda end: show(end.exc_value)
    sys.unraisablehook = lambda end: show(end.exc_value)

    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_LibrariesFormatter(account))
    logging.basicConfig(handlers=[handler])
    logging.raiseExceptions = False  # Python would print the arguments of a line that it cannot format.


class _LibrariesFormatter(logging.Formatter):
    """Tells of errors only what a log may say of them: their libraries log them with all that they quote."""

    def __init__(self, account: Callable[[BaseException], str]) -> None:
        super().__init__()
        self._account = account

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._account(said) if isinstance(said, BaseException) else said for said in record.args
            )
        return super().format(record)

    def formatException(self, ei: tuple[object, BaseException | None, object]) -> str:  # noqa: N802 - the base's name.
        return format_trace(ei[1], self._account)

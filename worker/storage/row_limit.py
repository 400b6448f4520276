"""How many rows a statement may take: fewer where Postgres cancels those that take too long."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from registry.postgres import Cancelled
from worker.errors import ConfigurationError

T = TypeVar("T")

log = structlog.get_logger(__name__)

_GROWTH: Final = 16
"""The limit grows by a sixteenth with each whole: what slowed Postgres down may have been another session's lock."""


class RowLimit:
    """Cuts rows into statements that end within the server's ``statement_timeout``; owned by one thread."""

    def __init__(self) -> None:
        self._most: int | None = None

    def insert(
        self, rows: Sequence[T], insert: Callable[[Sequence[T]], None], statement_timeout: Callable[[], str]
    ) -> None:
        """Insert rows in as many pieces as it takes.

        Args:
            rows: in order.
            insert: inserts a piece, and undoes that where it fails.
            statement_timeout: returns the server's setting, "0" is none, and lets waits for locks end before it.

        Raises:
            Cancelled: somebody has cancelled a statement by hand.
            Away: another session holds a lock for too long, which fewer rows would not change.
            ConfigurationError: the insertion of one row takes too long.
        """
        if self._most is not None:
            statement_timeout()
        pieces = [rows]
        while pieces:
            piece = pieces.pop()
            if self._most is not None and len(piece) > self._most:
                pieces += [piece[self._most :], piece[: self._most]]
                continue
            try:
                insert(piece)
            except Cancelled as error:
                self._halve(len(piece), statement_timeout(), error)
                pieces.append(piece)
        if self._most is not None:
            self._most += -(-self._most // _GROWTH)

    def _halve(self, rows: int, limit: str, error: Cancelled) -> None:
        if limit == "0":
            raise error
        if rows == 1 and self._most is not None:  # At first it may have waited for a lock.
            raise ConfigurationError(
                f"Postgres cancels the insertion of one row, since statement_timeout is {limit}: raise it, as by ALTER "
                "ROLE ... SET statement_timeout = '30s'"
            ) from error
        self._most = max(1, rows // 2)
        log.warning(
            "Postgres cancels statements that take longer than statement_timeout: rows are inserted in smaller pieces",
            statement_timeout=limit,
            rows=self._most,
        )

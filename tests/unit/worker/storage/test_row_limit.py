"""Statements that Postgres cancels for their length are made shorter, and longer again."""

from collections.abc import Sequence

import pytest

from registry.postgres import Cancelled
from worker.errors import ConfigurationError
from worker.storage.row_limit import RowLimit


class Server:
    """Inserts pieces of a size at most, in order."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.pieces: list[list[int]] = []
        self.cancelled = 0

    def insert(self, piece: Sequence[int]) -> None:
        if len(piece) > self.most:
            self.cancelled += 1
            raise Cancelled("canceling statement due to statement timeout")
        self.pieces.append(list(piece))

    @property
    def rows(self) -> list[int]:
        return [row for piece in self.pieces for row in piece]


def test_rows_go_in_once_and_in_order_in_pieces_that_the_server_takes() -> None:
    server, limit = Server(most=300), RowLimit()
    limit.insert(range(1_000), server.insert, lambda: "1s")
    assert server.rows == list(range(1_000))
    assert server.cancelled == 2, "1,000 and 500 are too many"


def test_the_limit_is_kept_and_grows_slowly() -> None:
    server, limit = Server(most=300), RowLimit()
    for _ in range(5):
        limit.insert(range(1_000), server.insert, lambda: "1s")
    assert server.cancelled == 3, "one attempt in each few wholes is too large"
    server.most = 1_000
    for _ in range(40):
        server.pieces.clear()
        limit.insert(range(1_000), server.insert, lambda: "1s")
    assert len(server.pieces) == 1


def test_one_row_that_takes_too_long_ends_with_the_name_of_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="statement_timeout is 50ms: raise it"):
        RowLimit().insert(range(8), Server(most=0).insert, lambda: "50ms")


def test_a_statement_that_somebody_cancelled_by_hand_is_tried_again_as_it_is() -> None:
    server, limit = Server(most=0), RowLimit()
    with pytest.raises(Cancelled):
        limit.insert(range(8), server.insert, lambda: "0")
    assert server.cancelled == 1
    server.most = 8
    limit.insert(range(8), server.insert, lambda: "0")
    assert len(server.pieces) == 1

"""Find the few items that make a whole fail."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.errors import RejectedData, TooManyDeadLetters, loggable_text

T = TypeVar("T")


def bisect(
    items: Sequence[T], attempt: Callable[[Sequence[T]], None], most_in_a_row: int | None = None
) -> list[tuple[T, RejectedData]]:
    """Attempt all items together, and halves of what is rejected, down to single items.

    With k culprits among n items it makes at most 2 k log2(n) + 1 attempts, the logarithm rounded up: each of
    the k paths from the whole down to a culprit has log2(n) steps of two attempts.

    Args:
        items: what to attempt, in order.
        attempt: takes a run of items and raises RejectedData if one of them is bad; what it did for that run
            must then be undone.
        most_in_a_row: give up once more culprits than this follow on each other.

    Returns:
        The culprits with their errors, in order.

    Raises:
        TooManyDeadLetters: the fault is not with a few items.
    """
    culprits: list[tuple[T, RejectedData]] = []
    in_a_row = 0
    runs = [items] if items else []
    while runs:
        run = runs.pop()
        try:
            attempt(run)
        except RejectedData as error:
            if len(run) > 1:
                middle = len(run) // 2
                runs += [run[middle:], run[:middle]]
                continue
            # Its trace would lead back here: a cycle, which keeps all that the attempt used until it is collected.
            culprits.append((run[0], error.with_traceback(None)))
            in_a_row += 1
            if most_in_a_row is not None and in_a_row > most_in_a_row:
                raise TooManyDeadLetters(
                    f"more than {most_in_a_row} items in a row are rejected: {loggable_text(error)}"
                ) from error
        else:
            in_a_row = 0
    return culprits

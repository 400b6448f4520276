"""The command emotion-worker backfill."""

import os
from datetime import UTC, datetime
from typing import Annotated, Final

from cyclopts import Parameter, validators

from worker.backfill import Period
from worker.backfill import backfill as read_again
from worker.commands.settings import load_settings

_BEHIND_OTHERS: Final = 10
"""Added to the process's niceness: live workers on the machine come first."""

_FASTEST: Final = 1_000_000
"""Messages a second, far above what a process can read."""


def backfill(
    *,
    from_: Annotated[datetime, Parameter(name="--from")],
    to: datetime,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=_FASTEST))] = 100,
    group: str | None = None,
) -> None:
    """Read the messages of a period again.

    Args:
        from_: Time of the first message, as Kafka has it; UTC where it names no zone.
        to: Time of the first message that is no longer read; UTC where it names no zone.
        rate: Messages a second at most, of this process.
        group: Consumer group of the run, in place of one that is named after the period. A period that was read to its
            end is read once more by a group of another name.
    """
    os.nice(_BEHIND_OTHERS)
    since, until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (from_, to))
    complete = read_again(load_settings(), Period(since, until), rate, group)
    print("read to the end" if complete else "stopped: the same command goes on from here")  # noqa: T201 - the command's answer.

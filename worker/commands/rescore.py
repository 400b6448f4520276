"""The command emotion-worker rescore."""

import threading
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter, validators

from schemas.bundle import Neutral
from worker.commands.settings import load_settings
from worker.signals import stop_on_signals
from worker.swap.rescore import Wanted
from worker.swap.rescore import rescore as score_again


def rescore(  # noqa: PLR0913 - the command's options.
    *,
    since: datetime,
    model: str | None = None,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 500,
    batch: Annotated[int, Parameter(validator=validators.Number(gt=0))] = 256,
    convention: str | None = None,
    neutral: Neutral | None = None,
) -> None:
    """Score stored texts again.

    Args:
        since: Take what was said since then; UTC where it names no zone.
        model: A version of the registry, a bundle's folder, or what WORKER_MODEL names; by default the registry's
            champion.
        rate: Rows a second at most, of this process.
        batch: Rows of a transaction, which holds them until they are scored.
        convention: Convention of labels that all rows are moved to, instead of WORKER_CONVENTION; without either, each
            row keeps its own.
        neutral: Whether it is what is left where no emotion is, or has a threshold, instead of WORKER_NEUTRAL.
    """
    settings = load_settings(convention=convention, neutral=neutral)
    stop = threading.Event()
    stop_on_signals(stop)
    moment = since if since.tzinfo else since.replace(tzinfo=UTC)
    rows, left = score_again(settings, Wanted(moment, model, batch, rate), stop)
    more = "stopped: the same command goes on from here" if left is None else f"{left} are left, held or rejected"
    print(f"scored {rows} rows again{f'; {more}' if left != 0 else ''}")  # noqa: T201 - the command's answer.

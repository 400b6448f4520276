"""The command emotion-worker rescore."""

import threading
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter, validators

from worker.logs import configure_logs
from worker.settings import Settings


def rescore(
    *,
    since: datetime,
    model: str | None = None,
    rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 500,
    batch: Annotated[int, Parameter(validator=validators.Number(gt=0))] = 256,
) -> None:
    """Score stored texts anew where an older model has scored them; as many processes as you like share the work.

    A row that is written names the new model, so what was stopped goes on with the same command. SIGTERM and Ctrl-C
    end it after the batch in hand.

    For example:

        emotion-worker rescore --since 2026-01-01 --rate 200

    Args:
        since: Take what was said since then; UTC where it names no zone.
        model: A version of the registry, a bundle's folder, or what WORKER_MODEL names; by default the registry's
            champion.
        rate: Rows a second at most, of this process.
        batch: Rows of a transaction, which holds them until they are scored.
    """
    from worker.composition import stop_on_signals  # noqa: PLC0415 - other commands start faster without it.
    from worker.rescore import Wanted  # noqa: PLC0415 - as above.
    from worker.rescore import rescore as score_anew  # noqa: PLC0415 - as above.

    settings = Settings.load()
    configure_logs(settings.log_level)
    stop = threading.Event()
    stop_on_signals(stop)
    moment = since if since.tzinfo else since.replace(tzinfo=UTC)
    rows, left = score_anew(settings, Wanted(moment, model, batch, rate), stop)
    more = "stopped: the same command goes on from here" if left is None else f"{left} are left, held or rejected"
    print(f"scored {rows} rows anew{f'; {more}' if left != 0 else ''}")  # noqa: T201 - the command's answer.

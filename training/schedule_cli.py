"""The command emotion-training schedule."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import Parameter

from training.options import Overrides, Public, Store, Work

log = structlog.get_logger(__name__)


def schedule(  # noqa: PLR0913 - the command's options.
    *,
    cron: Annotated[str, Parameter(env_var="TRAINING_CRON")],
    timezone: Annotated[str | None, Parameter(env_var="TRAINING_TIMEZONE")] = None,
    recipe: str | None = None,
    store: Store = None,
    work: Work = None,
    champion: Path | None = None,
    public: Public = None,
    set_: Overrides | None = None,
) -> None:
    """Call `retrain` at the dates of a cron expression, until SIGTERM or Ctrl-C.

    A run that was interrupted is taken up again at the start, and of the dates that were missed, one is caught up with.
    A signal ends a run at a checkpoint; the exit code is 0.

    Example:
        emotion-training schedule --cron "0 3 * * 1" --timezone Europe/Moscow --store s3://bucket/models

    Args:
        cron: Minute, hour, day of the month, month, day of the week, as in crontab(5).
        timezone: Of the dates, such as Europe/Moscow; without it, this machine's.
        recipe: As for `retrain`, and so are the others.
        store: Folder or URL of the bundles.
        work: Folder for what a run has on the disk.
        champion: Bundle to begin with.
        public: Sets that judge too.
        set_: Other settings.
    """
    from training.database import connect  # noqa: PLC0415 - --help is fast without the rest.
    from training.retrain_settings import read_settings  # noqa: PLC0415 - as above.
    from training.schedule import Job, crontab, keep_to  # noqa: PLC0415 - as above.
    from training.stopping import Interrupted, on_signals  # noqa: PLC0415 - as above.

    trigger = crontab(cron, timezone)
    settings = read_settings(recipe, set_ or (), store=store, work=work, champion=champion, public=public)
    words = [sys.executable, "-m", "training.cli", "retrain"]
    for name, value in {"--recipe": recipe, "--store": store, "--work": work, "--champion": champion}.items():
        words += [name, str(value)] if value is not None else []
    for name, values in {"--public": public, "--set": set_}.items():
        words += [name, *values] if values else []
    with suppress(Interrupted), on_signals() as stop:
        keep_to(trigger, connect(), Job(words, settings.work), stop)
    log.info("stopped")

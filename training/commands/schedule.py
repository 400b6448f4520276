"""The command emotion-training schedule."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from registry.errors import ConfigurationError
from training.database import connect
from training.environment import Environment
from training.monitor.watch import Watch
from training.options import BundleFolder, Names, Overrides
from training.retrain.crontab import crontab
from training.retrain.schedule import Job, keep_to, run_process
from training.retrain.settings import read_settings
from training.signals import Interrupted, StopSignal, on_signals

_PROGRAM: Final = (sys.executable, "-P", "-m", "training.cli")
"""Without -P, a file of the working folder that is called like one of our packages would be imported in its place."""

log = structlog.get_logger(__name__)


def schedule(  # noqa: PLR0913 - the command's options.
    *,
    cron: str | None = None,
    timezone: str | None = None,
    recipe: str | None = None,
    store: str | None = None,
    work: Path | None = None,
    champion: BundleFolder | None = None,
    public: Names | None = None,
    http_host: str | None = None,
    http_port: int | None = None,
    set_: Overrides | None = None,
) -> None:
    """Call `retrain` at the dates of a cron expression, until SIGTERM or Ctrl-C.

    Args:
        cron: Minute, hour, day of the month, month, day of the week, as in crontab(5); or @weekly and the like;
            without it, TRAINING_CRON's.
        timezone: Time zone of the dates, such as Europe/Moscow; without it, TRAINING_TIMEZONE's, or this machine's.
        recipe: As for `retrain`, and so are the others.
        store: Folder or URL of the bundles.
        work: Folder for what a run has on the disk.
        champion: Bundle to begin with (a folder, small or tiny).
        public: Sets that judge too.
        http_host: Address of the server of metrics; without it, TRAINING_HTTP_HOST's, or 127.0.0.1.
        http_port: Serve Prometheus metrics there, and compare the results with those before once a day, as `drift`
            does; 0 takes any free port. Without it, TRAINING_HTTP_PORT's; without either, neither is done.
        set_: Other settings.
    """
    options = Environment.load(cron=cron, timezone=timezone, work=work, http_host=http_host, http_port=http_port)
    if options.cron is None:
        raise ConfigurationError('there are no dates: give --cron or TRAINING_CRON, such as "0 3 * * 1"')
    date_after = crontab(options.cron, options.timezone)
    settings = read_settings(recipe, set_ or (), work=options.work)
    # What the environment says, the process reads there.
    given = {"--recipe": recipe, "--store": store, "--work": work, "--champion": champion}
    words = retrain_words(given, {"--public": public, "--set": set_})
    with suppress(Interrupted), on_signals() as stop:
        job = Job(words, settings.work)
        if options.http_port is not None:
            watch = _watch(settings.work, stop)
            watch.serve(options.http_host, options.http_port)
            job = job._replace(meanwhile=watch.meanwhile)
        keep_to(date_after, connect(), job, stop)
    log.info("stopped")


def _watch(work: Path, stop: StopSignal) -> Watch:
    """Return what watches over runs and results; the comparison is a process of its own, as a run is."""
    file = work / "drift.prom"
    work.mkdir(parents=True, exist_ok=True)
    # An engine of its own: a scrape must not take the schedule's connections.
    return Watch(connect(), file, partial(run_process, [*_PROGRAM, "drift", "--metrics", str(file)], stop))


def retrain_words(options: Mapping[str, object], lists: Mapping[str, Sequence[str] | None]) -> list[str]:
    """Return the command that retrains once.

    Args:
        options: names and values; those that are None are left out.
        lists: names and several values of each; those without a value are left out.
    """
    words = [*_PROGRAM, "retrain"]
    for name, value in options.items():
        words += [name, str(value)] if value is not None else []
    for name, values in lists.items():
        words += [name, *values] if values else []
    return words

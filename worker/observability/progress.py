"""Progress of a command that takes long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = structlog.get_logger(__name__)

_REPORT_EVERY_S: Final = 10.0


@contextmanager
def progress(doing: str, unit: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how many are done: it moves a bar on a terminal, and logs a line elsewhere.

    Args:
        doing: name of the work, for the log.
        unit: name of the things that are counted, such as rows.
        total: number of things to do.
    """
    log.info(doing, **{unit: 0}, of=total)
    if sys.stderr.isatty():
        columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(unit, total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    due = time.monotonic() + _REPORT_EVERY_S

    def report(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _REPORT_EVERY_S
            log.info(doing, **{unit: done}, of=total)

    yield report

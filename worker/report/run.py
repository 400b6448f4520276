"""The report from beginning to end: rows, counts, marks, page."""

import re
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from registry.contents import Bundle
from worker.errors import Away, ConfigurationError
from worker.inference.load import load_classifier
from worker.report.build import Wish, build_report
from worker.report.file import open_file
from worker.report.marks import Marking, mark_report
from worker.report.model import Period
from worker.report.page import page
from worker.report.postgres import open_postgres
from worker.report.rows import Rows
from worker.settings import Settings
from worker.storage.database import connect
from worker.storage.scores import registered
from worker.swap.follower import fetch_version

log = structlog.get_logger("worker")

_AGE: Final = re.compile(r"(\d{1,4})\s*([hdw])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DEFAULT_AGE: Final = "7d"
_EPOCH_YEAR: Final = 1970


class Order(NamedTuple):
    """What the report is asked for.

    Attributes:
        file: transcripts or answers; None asks the results database.
        since: beginning of the period, as `moment_of` reads it; None takes all of a file, or a week of the database.
        until: end of the period; None is now.
        calls: calls of each list that are shown turn by turn.
        with_texts: whether texts are shown.
        explain: whether words are marked.
        form: name of the file's form; None decides by the content.
    """

    file: str | None = None
    since: str | None = None
    until: str | None = None
    calls: int = 30
    with_texts: bool = True
    explain: bool = True
    form: str | None = None


def write_report(order: Order, settings: Settings, output: Path) -> None:
    """Write the page.

    Args:
        order: what is asked for.
        settings: the database and the model.
        output: file to write.

    Raises:
        ConfigurationError: there is nothing to read, a moment or the file cannot be read, or the page not written.
        Away: the database cannot be reached.
    """
    _check(output, order.file)
    wish = Wish(period_of(order, datetime.now(UTC)), order.calls, order.with_texts)
    with _open(order, settings) as rows:
        report = build_report(rows, wish)
    # The database is let go before the model is loaded, which may take longer than a transaction may be idle.
    if order.with_texts and (report.worst or report.relieved):
        report = mark_report(report, _marking(order, settings))
    try:
        output.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}: {error.strerror}. Name another file with --output") from error


def _check(output: Path, file: str | None) -> None:
    """Refuse a place where no page can be written before anything is read, which may take long.

    Raises:
        ConfigurationError: it is no place for a page.
    """
    why = (
        "it is a folder"
        if output.is_dir()
        else "its folder is not there"
        if not output.parent.is_dir()
        else "it holds what is to be read"
        if file and output.resolve() == Path(file).resolve()
        else None
    )
    if why:
        raise ConfigurationError(f"cannot write {output}: {why}. Name another file with --output")


def period_of(order: Order, now: datetime) -> Period:
    """Return the period that is asked for.

    Raises:
        ConfigurationError: a moment cannot be read, or the end is not after the beginning.
    """
    since = order.since or (None if order.file else _DEFAULT_AGE)
    if since is None:
        if order.until:
            raise ConfigurationError("--until needs --since: name the beginning of the period too")
        return Period()
    period = Period(moment_of(since, now), moment_of(order.until, now) if order.until else now)
    if period.since is None or period.until is None or period.since >= period.until:
        raise ConfigurationError(f"--since {since} is not before the end of the period: name an earlier moment")
    return period


def moment_of(said: str, now: datetime) -> datetime:
    """Read an age such as 7d, or a date or moment of ISO 8601; UTC where it names no zone.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        if age := _AGE.fullmatch(said.strip()):
            return now - int(age[1]) * _UNITS[age[2]]
        moment = _after_1970(datetime.fromisoformat(said))
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{said} is no time: write an age such as 24h, 7d or 2w, or a date such as 2026-11-28"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _after_1970(moment: datetime) -> datetime:
    """Return a moment that calls may have.

    Raises:
        ValueError: nobody recorded calls then.
    """
    if moment.year < _EPOCH_YEAR:
        raise ValueError(moment)
    return moment


def _open(order: Order, settings: Settings) -> AbstractContextManager[Rows]:
    if order.file:
        return open_file(order.file, settings, order.form)
    return open_postgres(settings.required_database_url)


def _marking(order: Order, settings: Settings) -> Marking:
    """Load the model that marks words; a report without marks is better than none."""
    if not order.explain:
        return Marking(None, "since --no-explain was given")
    try:
        bundle = None if order.file or settings.model else _champion(settings)
        return Marking(load_classifier(settings, bundle=bundle))
    except (Away, ConfigurationError) as error:
        log.warning("words are not marked: the model cannot be loaded", error=str(error))
        return Marking(None, "because the model could not be loaded")


def _champion(settings: Settings) -> Bundle | None:
    """Return the champion's bundle; None where there is no champion, so that the released one marks."""
    engine = connect(settings.required_database_url, "emotion-worker-report", connections=1)
    try:
        row = registered(engine, None)
    finally:
        engine.dispose()
    return fetch_version(row, settings.model_cache) if row else None

"""The dates of a cron expression, as Debian's cron has them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from tzlocal import get_localzone

from training.errors import UnusableRecipe

Dates = Callable[[datetime], datetime]
"""Returns the first date after a moment."""

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: Final = 5


def crontab(expression: str, timezone: str | None = None) -> Dates:
    """Return the dates of a cron expression.

    When the clocks change, a job at a fixed time runs once: after the skipped hour in spring, and in the first of the
    two hours in autumn. A job whose hour or minute begins with a star follows the clock.

    Args:
        expression: minute, hour, day of the month, month, day of the week; or a nickname such as @weekly.
        timezone: name of the time zone, such as Europe/Moscow; None takes this machine's.

    Raises:
        UnusableRecipe: the expression or the zone does not exist, or no date ever comes.
    """
    zone = _zone(timezone)
    fields = _NICKNAMES.get(expression.strip().lower(), expression)

    def date_after(moment: datetime) -> datetime:
        # Of two equal hours CronSim knows the first only, and may answer a moment in the second with a date before it.
        after = moment.astimezone(UTC)
        return next(date for date in CronSim(fields, moment.astimezone(zone)) if date.astimezone(UTC) > after)

    # CronSim would read a sixth field as seconds, which cron does not have.
    if (count := len(fields.split())) != _FIELDS:
        raise _unusable(expression, f"it has {count} of {_FIELDS} fields")
    try:
        date_after(datetime.now(UTC))
    except CronSimError as error:
        raise _unusable(expression, str(error)) from error
    except StopIteration as error:
        raise UnusableRecipe(f"the date of {expression!r} never comes") from error
    return date_after


def _unusable(expression: str, reason: str) -> UnusableRecipe:
    return UnusableRecipe(
        f"{expression!r} is no cron expression: {reason}. Say minute, hour, day of the month, month and day of the "
        'week, such as "0 3 * * 1" for Mondays at three, or @weekly'
    )


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name) if name else get_localzone()
    # A name such as Europe is a folder of zones.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnusableRecipe(
            f"there is no time zone {name or 'by the name that this machine has'}: name one such as Europe/Moscow or "
            "UTC by --timezone"
        ) from error

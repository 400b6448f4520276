"""The command emotion-worker prune."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.durations import duration
from worker.backoff import Stopped, wait_for
from worker.commands.settings import load_settings
from worker.errors import ConfigurationError
from worker.signals import stop_on_signals
from worker.storage.database import connect
from worker.storage.delete_messages import prune as delete_old
from worker.storage.migrate import require_migrated

_SHORTEST: Final = timedelta(days=1)
"""Age that nobody means to undercut: 3m, meant as months, would delete all but three minutes."""


def prune(*, older_than: str, every: str | None = None) -> None:
    """Delete old rows.

    Args:
        older_than: Age from which rows go, by when they were said: 90d, 12w or 48h; a day at least.
        every: How long after the beginning of one pass the next one begins, such as 1d. Without it, there is one pass.
    """
    age = duration(older_than)
    if age < _SHORTEST:
        raise ConfigurationError(
            f"prune: --older-than {older_than} is less than a day, and would leave next to nothing. m stands for "
            "minutes: write three months as 90d"
        )
    pause = duration(every) if every else None
    settings = load_settings()
    stop = threading.Event()
    stop_on_signals(stop)
    engine = connect(settings.required_database_url, "emotion-worker-prune")
    try:
        wait_for("postgres", lambda: require_migrated(engine), stop)
        while True:
            begun = datetime.now(UTC)
            gone = delete_old(engine, begun - age, stop)
            print(f"pruned {gone.rows} rows and {gone.shadow_rows} shadow rows", flush=True)  # noqa: T201 - the answer.
            if pause is None or stop.wait(max(timedelta(0), begun + pause - datetime.now(UTC)).total_seconds()):
                return
    except Stopped:
        print("stopped: the same command goes on from here")  # noqa: T201 - as above.
    finally:
        engine.dispose()

"""The command emotion-worker erase."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from registry.erasures import Erasure
from worker.backoff import Stopped
from worker.commands.settings import load_settings
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.signals import stop_on_signals
from worker.storage.database import connect
from worker.storage.delete_messages import Gone
from worker.storage.erase import erase as erase_for_good
from worker.storage.migrate import require_migrated

_ELSEWHERE: Final = (
    "files of retraining and models may hold texts of labels: docs/privacy.md says how to find and replace them",
    "texts that were exported, Label Studio and imported files hold words: delete them there",
    "backups and dumps of the database hold the rows: let them expire, and erase again after a restore",
)


def erase(  # noqa: PLR0913 - the command's options.
    *,
    session: str | None = None,
    transcript: str | None = None,
    before: datetime | None = None,
    source: str | None = None,
    by: str | None = None,
    dry_run: bool = False,
) -> None:
    """Erase for good what people said.

    Args:
        session: All of this session.
        transcript: The message of this id, with all of its parts.
        before: What was said before then, at any later time too; UTC where it names no zone. With --session or
            --transcript, that of it alone.
        source: That of this source alone.
        by: Who asks for it, for the history; without it, the database's user.
        dry_run: Delete nothing, and say how much would go.
    """
    if session is not None and transcript is not None:
        raise ConfigurationError("erase: name a session or a transcript; erase one after the other for both")
    if session is None and transcript is None and before is None:
        raise ConfigurationError("erase: say what goes, by --session, --transcript or --before")
    for option, name in (("session", session), ("transcript", transcript), ("source", source)):
        if name == "":
            raise ConfigurationError(f"erase: --{option} is empty, and names nothing. Is the variable set?")
    moment = before.replace(tzinfo=UTC) if before and not before.tzinfo else before
    if moment and moment > datetime.now(UTC):
        raise ConfigurationError("erase: --before lies in the future, so nothing said until then would be stored")
    settings = load_settings()
    stop = threading.Event()
    stop_on_signals(stop)
    engine = connect(settings.required_database_url, "emotion-worker-erase")
    try:
        require_migrated(engine)
        gone = erase_for_good(engine, Erasure(session, transcript, source, moment, by), stop, dry_run=dry_run)
    except Stopped:
        print("stopped: the same command goes on from here")  # noqa: T201 - the command's answer.
        return
    finally:
        engine.dispose()
    for line in _answer(settings, gone, dry_run=dry_run):
        print(line)  # noqa: T201 - as above.


def _answer(settings: Settings, gone: Gone, *, dry_run: bool) -> Iterator[str]:
    done = "would go" if dry_run else "are erased"
    yield f"{gone.rows} rows, {gone.shadow_rows} shadow rows and {gone.labels} labels {done}"
    if not dry_run:
        yield "no replay and no import of labels brings them back"
    yield (
        f"- Kafka's topic {settings.kafka_topic} keeps the records until its retention ends: wait, or delete them by "
        "kafka-delete-records; the worker does not store them again"
    )
    yield (
        f"- {settings.kafka_dead_letter_topic} may hold messages that could not be stored, until its retention ends: "
        "`emotion-worker dead-letters list` names them"
    )
    yield from (f"- {line}" for line in _ELSEWHERE)

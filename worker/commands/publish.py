"""The command emotion-worker publish."""

from typing import Annotated

import structlog
from cyclopts import Parameter

from worker.commands.settings import load_kafka_settings
from worker.forms.files import TranscriptFile
from worker.kafka.publish import publish as send

log = structlog.get_logger("worker")


def publish(
    file: str,
    *,
    format_: Annotated[str | None, Parameter(name="--format")] = None,
    session: str | None = None,
    channel_roles: str | None = None,
) -> None:
    """Publish the transcripts of a file.

    Args:
        file: Path of the file; - for stdin.
        format_: Name of its form, where it cannot be told by the content; docs/transcripts.md lists them.
        session: Session of the transcripts that name none, instead of the file's name.
        channel_roles: Who speaks on which channel, such as 0=agent,1=customer, instead of WORKER_CHANNEL_ROLES.
    """
    settings = load_kafka_settings(channel_roles=channel_roles)
    roles = settings.channel_roles
    with TranscriptFile(
        file, form=format_, session=session, for_rows=True, warn=log.warning, channel_roles=roles
    ) as given:
        given.check()
        count = send(given.messages(), settings)
    print(f"published {count} messages to {settings.kafka_topic}")  # noqa: T201 - the command's answer.

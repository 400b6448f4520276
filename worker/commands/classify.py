"""The command emotion-worker classify."""

import sys
from typing import Annotated

import msgspec
import structlog
from cyclopts import Parameter

from schemas.bundle import Neutral
from worker.classify import classify_messages
from worker.commands.settings import load_settings
from worker.forms.files import TranscriptFile

log = structlog.get_logger("worker")


def classify(  # noqa: PLR0913 - the command's options.
    file: str = "-",
    *,
    format_: Annotated[str | None, Parameter(name="--format")] = None,
    model: str | None = None,
    device: str | None = None,
    convention: str | None = None,
    neutral: Neutral | None = None,
    explain: bool = False,
) -> None:
    """Classify the transcripts of a file.

    Args:
        file: JSON lines, plain text, or what a recognizer wrote; - for stdin.
        format_: Name of the file's form, where it cannot be told by the content; docs/transcripts.md lists them.
        model: A bundle's folder, small, tiny or a hub name, instead of WORKER_MODEL.
        device: auto, cpu, cuda or cuda:N, instead of WORKER_DEVICE.
        convention: Convention of labels, where the model knows several, instead of WORKER_CONVENTION.
        neutral: Whether it is what is left where no emotion is, or has a threshold, instead of WORKER_NEUTRAL.
        explain: Name the words that carried the strongest emotion, with the log-odds that are lost without each. It
            takes ten times as long at most.
    """
    settings = load_settings(model=model, device=device, convention=convention, neutral=neutral)
    with TranscriptFile(file, form=format_, for_rows=False, warn=log.warning) as transcripts:
        transcripts.check()
        for answer in classify_messages(transcripts.messages(), settings, explain=explain):
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()

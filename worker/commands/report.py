"""The command emotion-worker report."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from worker.commands.settings import load_settings
from worker.errors import ConfigurationError


def report(  # noqa: PLR0913 - the command's options.
    file: str | None = None,
    *,
    since: str | None = None,
    until: str | None = None,
    output: Path = Path("calls.html"),
    calls: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=200))] = 30,
    texts: bool = True,
    explain: bool = True,
    model: str | None = None,
    format_: Annotated[str | None, Parameter(name="--format")] = None,
) -> None:
    """Write a page about calls.

    Args:
        file: Transcripts, or what `emotion-worker classify` wrote; without it, the rows of WORKER_DATABASE_URL count.
        since: Beginning of the period: an age such as 24h, 7d or 2w, or a date; 7d by default, all of a file.
        until: End of the period, given in the same ways; now by default.
        output: File to write the page to.
        calls: Calls of each list that are shown turn by turn.
        texts: Show what was said; --no-texts shows courses alone.
        explain: Mark the words that carried the scores, by the model that gave them.
        model: A bundle's folder, small, tiny or a hub name, instead of WORKER_MODEL and the champion.
        format_: Name of the file's form, where it cannot be told by the content; docs/transcripts.md lists them.
    """
    try:
        from worker.report.run import Order, write_report  # noqa: PLC0415 - the libraries of an extra.
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the report needs {error.name}, which is not installed: `pip install 'asr-emotions[report]'`"
        ) from error

    order = Order(file, since, until, calls=calls, with_texts=texts, explain=explain, form=format_)
    write_report(order, load_settings(model=model), output)
    print(f"wrote {output}")  # noqa: T201 - the command's answer.

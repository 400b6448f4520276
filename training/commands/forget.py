"""The commands emotion-training labels forget and forgotten."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.database import connect
from training.environment import Environment
from training.labels.forget import Chosen, history
from training.labels.forget import forget as forget_labels
from training.labels.remains import find_remains


def forget(  # noqa: PLR0913 - the command's options.
    *,
    text: str | None = None,
    annotator: str | None = None,
    session: str | None = None,
    source: str | None = None,
    origin: str | None = None,
    by: str | None = None,
    work: Path | None = None,
    dry_run: bool = False,
) -> None:
    """Delete labels, and say where their texts remain and what to do there.

    Args:
        text: Labels of this text, however it is spelled.
        annotator: Labels of this annotator.
        session: Labels that name this session, or whose transcripts are of it.
        source: Labels of the session in this source alone, and those that name no source.
        origin: Labels of this origin. Where several are given, all must apply.
        by: Who asks for it, for the history; without it, the database's user.
        work: Folder of the retraining's runs; without it, TRAINING_WORK's, or `runs`.
        dry_run: Delete nothing, and say what would go.
    """
    folder = Environment.load(work=work).work or Path("runs")
    engine = connect()
    chosen = Chosen(text=text, annotator=annotator, session=session, source=source, origin=origin)
    labels, texts = forget_labels(engine, chosen, by=by, dry_run=dry_run)
    done = "would be forgotten" if dry_run else "are forgotten"
    print(f"{labels} labels of {len(texts)} texts {done}")  # noqa: T201 - the command's answer.
    for line in find_remains(engine, texts, folder) if texts else ():
        print(f"- {line}")  # noqa: T201 - as above.


def forgotten() -> None:
    """Print who deleted how many labels, of which kind and when."""
    table = Table("when", "who", "chosen by", "labels", "texts")
    for row in history(connect()):
        when = f"{row['forgotten_at']:%Y-%m-%d %H:%M}"
        table.add_row(when, escape(row["forgotten_by"]), row["kind"], str(row["labels"]), str(row["texts"]))
    Console().print(table)

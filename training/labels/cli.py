"""The commands `emotion-training labels ...` and `emotion-training datasets ...`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from training.labels import Strategy

labels = App(name="labels", help="What people say of texts: import it, look at it, and export texts to be labelled.")
datasets = App(name="datasets", help="Public sets of labelled texts, into the same table.")


@labels.command(name="import")
def import_(
    file: Path, *, strict: bool = False, origin: str | None = None, annotator: str = "", annotator_prefix: str = ""
) -> None:
    """Put the labels of a file into the database. Done twice, it changes nothing; a later label replaces an earlier.

    Example:
        emotion-training labels import calls.csv --annotator anna

        emotion-training labels import project-1.json --strict

    Args:
        file: .csv, .tsv or .jsonl with text and emotions, or Label Studio's export as JSON.
        strict: Refuse the file if any row is bad, instead of importing the others.
        origin: Of the rows that name none; table or label-studio by default.
        annotator: Of the rows that name none.
        annotator_prefix: Put before the annotators that rows name, to part people of two servers who share a number.
    """
    from training.database import connect  # noqa: PLC0415 - --help is fast without the rest.
    from training.errors import UnusableData  # noqa: PLC0415 - as above.
    from training.labels.formats import read_labels  # noqa: PLC0415 - as above.
    from training.labels.table import store  # noqa: PLC0415 - as above.

    reading = read_labels(file, origin=origin, annotator=annotator, prefix=annotator_prefix)
    for bad in reading.bad:
        print(f"{file}, {bad}", file=sys.stderr)  # noqa: T201 - the command's answer.
    if reading.bad and (strict or not reading.labels):
        raise UnusableData(f"{file}: nothing was imported, {len(reading.bad)} rows are bad")
    stored = store(connect(), reading.labels)
    skipped = f", {reading.skipped} without an answer" if reading.skipped else ""
    print(  # noqa: T201 - as above.
        f"{file}: {stored.new} labels new, {stored.changed} changed, {stored.as_before} as before, "
        f"{len(reading.bad)} rows bad{skipped}"
    )


@labels.command(name="list")
def list_(
    *,
    origin: str | None = None,
    annotator: str | None = None,
    emotion: str | None = None,
    limit: Annotated[int, Parameter(name=["-n", "--limit"], validator=Number(gte=1))] = 20,
) -> None:
    """Print labels, the newest first.

    Args:
        origin: Only those of this origin.
        annotator: Only those of this annotator.
        emotion: Only those that carry this emotion.
        limit: At most so many.
    """
    from rich.console import Console  # noqa: PLC0415 - --help is fast without the rest.
    from rich.markup import escape  # noqa: PLC0415 - as above.
    from rich.table import Table  # noqa: PLC0415 - as above.

    from training.database import connect  # noqa: PLC0415 - as above.
    from training.labels.table import listed  # noqa: PLC0415 - as above.

    table = Table("when", "origin", "annotator", "emotions", "text")
    for label in listed(connect(), origin=origin, annotator=annotator, emotion=emotion, limit=limit):
        cells = (_minute(label.labelled_at), label.origin, label.annotator, ", ".join(label.emotions), label.text)
        table.add_row(*map(escape, cells))
    Console().print(table)


@labels.command(name="stats")
def stats_() -> None:
    """Count labels by emotion, origin and annotator, and say how far annotators agree (Krippendorff's alpha)."""
    from rich.console import Console  # noqa: PLC0415 - --help is fast without the rest.
    from rich.markup import escape  # noqa: PLC0415 - as above.
    from rich.table import Table  # noqa: PLC0415 - as above.

    from training.database import connect  # noqa: PLC0415 - as above.
    from training.labels.table import stats  # noqa: PLC0415 - as above.

    found = stats(connect())
    console = Console()
    emotions = Table("emotion", "labels", "alpha")
    for emotion, count in found.emotions.items():
        alpha = found.alpha[emotion]
        emotions.add_row(emotion, str(count), "-" if alpha is None else f"{alpha:.3f}")
    console.print(emotions)
    for title, counts in (("origin", found.origins), ("annotator", found.annotators)):
        table = Table(title, "labels")
        for name, count in counts.items():
            table.add_row(escape(name), str(count))
        console.print(table)
    console.print(f"{found.labels} labels of {found.texts} texts; {found.doubly} texts have two annotators or more")


@labels.command
def export(  # noqa: PLR0913 - the command's options.
    *,
    for_: Annotated[Literal["label-studio"], Parameter(name="--for")] = "label-studio",
    strategy: Strategy = "uncertain",
    count: Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=1))] = 500,
    against: Path | None = None,
    seed: int = 0,
    output: Path = Path("to-label"),
) -> None:
    """Draw texts from emotion_results that nobody has labelled, as tasks with the model's answer.

    Example:
        emotion-training labels export --for label-studio --strategy uncertain -n 500

    Args:
        for_: The tool.
        strategy: What the model is unsure of, what is rare among the labels, what two models disagree on, or anything.
        count: At most so many.
        against: The bundle to compare with, for disagreement.
        seed: Of what is drawn at random.
        output: Folder for tasks.json and config.xml; must not exist.
    """
    from training.database import connect  # noqa: PLC0415 - --help is fast without the rest.
    from training.labels.tasks import draw, scorer, write  # noqa: PLC0415 - as above.

    tasks = draw(connect(), strategy, count, other=scorer(against) if against else None, seed=seed)
    write(output, tasks)
    print(f"{output} holds {len(tasks)} tasks for {for_}")  # noqa: T201 - the command's answer.


@datasets.command(name="import")
def import_sets(name: str, /, *names: str) -> None:
    """Put the training rows of public sets into the database, each with its set as origin.

    Done twice, it changes nothing. The published validation rows stay outside: models are compared on them.

    Example:
        emotion-training datasets import seara/ru_go_emotions folder/cedr

    Args:
        name: Folder, file or hub name of a set.
        names: Those of others.
    """
    from training.database import connect  # noqa: PLC0415 - --help is fast without the rest.
    from training.datasets import load  # noqa: PLC0415 - as above.
    from training.errors import UnusableData  # noqa: PLC0415 - as above.
    from training.labels.sets import labels_of  # noqa: PLC0415 - as above.
    from training.labels.table import store  # noqa: PLC0415 - as above.

    sets = load([name, *names], "train")
    if not sets:
        raise UnusableData(f"{', '.join([name, *names])}: there are no training rows")
    engine = connect()
    for examples in sets:
        stored = store(engine, labels_of(examples))
        print(  # noqa: T201 - the command's answer.
            f"{examples.source}: {stored.new} labels new, {stored.changed} changed, {stored.as_before} as before"
        )


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

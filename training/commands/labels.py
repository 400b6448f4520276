"""The commands `emotion-training labels ...` and `emotion-training datasets ...`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.emotions import EMOTIONS
from training.data.datasets import load
from training.database import connect
from training.errors import UnusableData
from training.evaluate.error_budget import BUDGET, SHOWN, typical_gain
from training.label_files.options import ReadOptions, parse_map
from training.label_files.reading import read_labels
from training.labels import Blind, Strategy
from training.labels.context import add_context, hide_answers
from training.labels.sets import labels_of
from training.labels.sheets import require_writer, write_sheet
from training.labels.table import Stored, list_labels, stats, store
from training.labels.tasks import draw, scorer, write

if TYPE_CHECKING:
    from training.label_files.reading import Reading

_PREVIEWED: Final = 5
"""Labels that --dry-run shows."""


def import_(  # noqa: PLR0913 - the command's options.
    file: Path,
    *,
    dry_run: bool = False,
    strict: bool = False,
    map_: Annotated[list[str] | None, Parameter(name="--map", consume_multiple=True)] = None,
    threshold: Annotated[float | None, Parameter(validator=Number(gt=0, lte=1))] = None,
    control: str | None = None,
    origin: str | None = None,
    annotator: str = "",
    annotator_prefix: str = "",
    drawn_by: Literal["random"] | None = None,
) -> None:
    """Put the labels of a file into the database.

    Args:
        file: A table (.csv, .tsv, .jsonl, .xlsx, .parquet) with text and emotions, or an export of Label Studio,
            doccano, Argilla or Prodigy.
        dry_run: Show how the file is read and its first five labels, and write nothing.
        strict: Refuse the file if any row is bad or contradicts another, instead of importing the others.
        map_: The file's name for a column or a label, after ours: text=Фраза, anger=злится,ругается, skip=другое.
        threshold: Score from which on an emotion is given, where the file has scores; above 0, at most 1.
        control: Label Studio's control or Argilla's question that holds the emotions; emotions by default.
        origin: Of the rows that name none; table or the tool's name by default.
        annotator: Of the rows that name none.
        drawn_by: Say "random" where rows leave out how their texts were drawn, and it was so: then they judge too.
        annotator_prefix: Put before the annotators that rows name, to part people of two servers who share a number.
    """
    columns, wanted = parse_map(map_ or ())
    options = ReadOptions(
        origin=origin,
        annotator=annotator,
        prefix=annotator_prefix,
        drawn_by=drawn_by or "",
        columns=columns,
        wanted=wanted,
        threshold=threshold,
        control=control,
    )
    reading = read_labels(file, options)
    for complaint in (*reading.bad, *reading.contradictions):
        print(f"{file}, {complaint}", file=sys.stderr)  # noqa: T201 - the command's answer.
    if dry_run:
        _preview(file, reading)
        return
    wrong = len(reading.bad) + (len(reading.contradictions) if strict else 0)
    if (reading.bad and not reading.placed) or (strict and wrong):
        raise UnusableData(f"{file}: nothing was imported, {wrong} rows are bad")
    stored = store(connect(), reading.labels)
    print(f"{file}: {_told(stored)}, {_rest(reading)}")  # noqa: T201 - as above.


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
        limit: Maximum number of labels.
    """
    table = Table("when", "origin", "annotator", "emotions", "text")
    for label in list_labels(connect(), origin=origin, annotator=annotator, emotion=emotion, limit=limit):
        cells = (_minute(label.labelled_at), label.origin, label.annotator, ", ".join(label.emotions), label.text)
        table.add_row(*map(escape, cells))
    Console().print(table)


def stats_() -> None:
    """Count labels by emotion, origin and annotator, and say how far annotators agree (Krippendorff's alpha)."""
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
    power = Table("new labels", "smallest gain in weighted F1 that a retraining shows in four of five cases")
    for count in sorted({*SHOWN, found.texts} - {0}):
        mine = " (all of yours)" if count == found.texts else ""
        power.add_row(f"{count:,}{mine}", f"{typical_gain(BUDGET, count):+.1%}")
    console.print(power)


def export(  # noqa: PLR0913 - the command's options.
    *,
    for_: Annotated[Literal["label-studio", "csv", "xlsx"], Parameter(name="--for")] = "label-studio",
    strategy: Strategy = "uncertain",
    count: Annotated[int, Parameter(name=["-n", "--count"], validator=Number(gte=1))] = 500,
    against: Path | None = None,
    blind: Blind = "judging",
    random_share: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.3,
    seed: int = 0,
    output: Path = Path("to-label"),
) -> None:
    """Draw texts from emotion_results that nobody has labelled.

    Args:
        for_: The tool.
        strategy: What the model is unsure of, what is rare among the labels, what two models disagree on, or anything.
        count: Maximum number of texts.
        against: The bundle to compare with, for disagreement.
        blind: Tasks of Label Studio without the model's answer: those that judge models, all or none. Sheets have none.
        random_share: Of the chance that is equal for all texts; it lets the labels judge models, not only teach them.
        seed: Of what is drawn at random.
        output: Folder for tasks.json and config.xml, or for the sheet; must not exist.
    """
    require_writer(for_)
    engine = connect()
    other = scorer(against) if against else None
    tasks = draw(engine, strategy, count, other=other, random_share=random_share, seed=seed)
    add_context(engine, tasks)
    if for_ == "label-studio":
        hide_answers(tasks, blind)
        write(output, tasks)
    else:
        write_sheet(output, for_, tasks)
    print(f"{output} holds {len(tasks)} tasks for {for_}")  # noqa: T201 - the command's answer.


def import_sets(name: str, /, *names: str) -> None:
    """Put the training rows of public sets into the database, each with its set as origin.

    Args:
        name: Folder, file or hub name of a set.
        names: Those of others.
    """
    sets = load([name, *names], "train")
    if not sets:
        raise UnusableData(f"{', '.join([name, *names])}: there are no training rows")
    engine = connect()
    for examples in sets:
        stored = store(engine, labels_of(examples))
        print(f"{examples.source}: {_told(stored)}")  # noqa: T201 - the command's answer.


def _told(stored: Stored) -> str:
    erased = f", {stored.erased} left out since they were erased" if stored.erased else ""
    return f"{stored.new} labels new, {stored.changed} changed, {stored.as_before} as before{erased}"


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _preview(file: Path, reading: "Reading") -> None:
    """Print how a file is read, and its first labels."""
    console = Console()
    console.print(escape(f"{file} is read as {reading.form}{': ' if reading.mapping else ''}{reading.mapping}"))
    table = Table("where", "text", "emotions", "annotated", "annotator")
    for where, label, _ in reading.placed[:_PREVIEWED]:
        annotated = "all" if label.annotated == EMOTIONS else ", ".join(label.annotated)
        cells = (where, label.text, ", ".join(label.emotions) or "none", annotated, label.annotator)
        table.add_row(*map(escape, cells))
    console.print(table)
    console.print(f"{len(reading.placed)} labels, {_rest(reading)}. Nothing was written", highlight=False)


def _rest(reading: "Reading") -> str:
    contradicting = f", {len(reading.contradictions)} rows contradict another" if reading.contradictions else ""
    skipped = f", {reading.skipped} without an answer" if reading.skipped else ""
    return f"{len(reading.bad)} rows bad{contradicting}{skipped}"

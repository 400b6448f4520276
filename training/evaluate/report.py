"""Measuring a bundle on data sets: the command evaluate, and the report."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.bundle import MANIFEST
from schemas.decisions import Floats, Rule
from schemas.normalization import normalize
from training.data.examples import Examples
from training.data.text_forms import as_spoken
from training.errors import UnusableData, UnusableOutput
from training.evaluate.behaviour import Behaviour, summed_up
from training.evaluate.breakdowns import break_down, mistakes
from training.evaluate.html_report import page
from training.evaluate.metrics import cross_fitted, from_other_half, measure
from training.evaluate.predictor import Served
from training.evaluate.robustness import WORD_ERROR_PASSES, by_word_errors, compare_forms

_FIGURES: Final = ("f1", "average_precision", "ece", "threshold", "support")
_SCORED_TOGETHER: Final = 1024

_MEASURED_ON: Final = re.compile(r"(\S+) validation in ASR form")
"""How a fit names the set that chose thresholds."""


def evaluate(  # noqa: PLR0913 - the last ones only add to the report.
    served: Served,
    sets: Sequence[Examples],
    output: Path | None = None,
    log_history: Sequence[Mapping[str, float]] | None = None,
    *,
    held_out: bool = False,
    verdict: Sequence[str] = (),
    behaviour: Behaviour | None = None,
) -> dict[str, Any]:
    """Measure a model on the Russian ones of the sets, each by its own convention where none was chosen.

    Rows that chose calibration and thresholds flatter them. The report shows each set by one measure: as served, where
    its rows chose nothing, else each row by the tuning of the half that it is not in.

    Args:
        served: the model.
        sets: to measure on.
        output: folder for report.html and metrics.json; without it neither is written, and word errors are not
            measured, which take most of the time.
        log_history: what the Trainer logged; None takes the learning curve from the manifest's metrics, if any.
        held_out: whether no row of the sets chose anything, as those of a test split; else the manifest tells.
        verdict: of the gate, where it was judged, for the report; the first line sums the others up.
        behaviour: of the model, where it was asked for the lines that show one phenomenon each, for the report.

    Returns:
        For each source: convention, as_served (in ASR form, with the manifest's thresholds), cross_fitted (calibration
        and thresholds tuned on one half of the set and measured on the other, both ways), other_half (the same as one
        figure over all rows), judged_by (which of the two measures rows that chose nothing), what `break_down` gives by
        that one, written (punctuation kept: as_served, other_half, and under change what `changed` gives), and with an
        output word_errors (a list over the rates, as changes; where their cost is limited, over three draws of them).

    Raises:
        UserError: there is no Russian set, or the output cannot be written.
    """
    russian = [examples for examples in sets if examples.language == "ru" and len(examples)]
    if not russian:
        raise UnusableData("no Russian validation rows there; ru_go_emotions and brighter have some")
    if output:
        _make(output)
    figures, worst = {}, {}
    with _watched(russian, passes=2 + (WORD_ERROR_PASSES if output else 0)) as logits:
        for examples in russian:
            followed = served.for_labels(examples.conventions)
            own = partial(logits, followed)
            spoken = own([as_spoken(text) for text in examples.texts])
            chose = not held_out and _chose(followed, examples.source)
            scores, rule = (
                _other_half(followed, examples, spoken) if chose else (followed.scores(spoken), followed.rule)
            )
            figures[examples.source] = {
                "judged_by": "other_half" if chose else "as_served",
                **_measured(followed, examples, spoken, own, misheard=output is not None),
                **break_down(examples, scores, rule),
            }
            worst[examples.source] = mistakes(examples, scores)
    if output:
        told = figures if behaviour is None else figures | {"behaviour": summed_up(behaviour)}
        _write(output / "metrics.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        history = log_history or served.manifest.metrics.get("learning_curve", ())
        _write(
            output / "report.html", page(served.manifest, figures, worst, history, verdict=verdict, behaviour=behaviour)
        )
    return figures


@contextmanager
def _watched(sets: Sequence[Examples], *, passes: int) -> Iterator[Callable[[Served, Sequence[str]], Floats]]:
    """Yield what gives a model's logits, in pieces and with a bar that is full after these passes over the sets."""
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=passes * sum(map(len, sets)))

        def logits(served: Served, texts: Sequence[str]) -> Floats:
            parts = []
            for start in range(0, len(texts), _SCORED_TOGETHER):
                parts.append(served.logits(texts[start : start + _SCORED_TOGETHER]))
                progress.advance(task, len(parts[-1]))
            return np.concatenate(parts)

        yield logits


def _measured(
    served: Served,
    examples: Examples,
    spoken: Floats,
    logits: Callable[[Sequence[str]], Floats],
    *,
    misheard: bool,
) -> dict[str, Any]:
    """Return the figures of a set, from its logits in ASR form and what gives those of other forms."""
    figures = {
        "convention": served.convention or served.manifest.convention,
        **_both_ways(served, examples, spoken),
        "cross_fitted": cross_fitted(
            spoken, examples.targets, examples.parts(2), examples.annotated, neutral=served.rule.neutral
        ),
        "written": _written(served, examples, spoken, logits),
    }
    if misheard:
        figures["word_errors"] = by_word_errors(served, examples, spoken, logits)
    return figures


def _chose(served: Served, source: str) -> bool:
    """Whether the rows of a set may have chosen the thresholds: yes, unless the manifest names another set."""
    metrics = served.manifest.metrics
    followed = served.convention or served.manifest.convention
    named = _MEASURED_ON.fullmatch(metrics.get("others", {}).get(followed, metrics).get("measured_on", ""))
    return named is None or named[1] == source


def _other_half(served: Served, examples: Examples, logits: Floats) -> tuple[Floats, Rule]:
    return from_other_half(logits, examples.targets, examples.parts(2), examples.annotated, neutral=served.rule.neutral)


def _both_ways(served: Served, examples: Examples, logits: Floats) -> dict[str, Any]:
    """Measure with the manifest's calibration and thresholds, and with those of the other half of the rows."""
    targets, known = examples.targets, examples.annotated
    scores, rule = _other_half(served, examples, logits)
    return {
        "as_served": measure(served.scores(logits), targets, served.rule, known),
        "other_half": measure(scores, targets, rule, known),
    }


def _written(
    served: Served, examples: Examples, spoken: Floats, logits: Callable[[Sequence[str]], Floats]
) -> dict[str, Any]:
    written = logits([normalize(text) for text in examples.texts])
    return {**_both_ways(served, examples, written), "change": compare_forms(served, examples, spoken, [written])}


def _make(output: Path) -> None:
    if (output / MANIFEST).exists():
        raise UnusableOutput(
            f"{output} holds a bundle, which may be published, and a report quotes texts. Name another --report"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableOutput(f"{output} cannot be made: {error}. Name another --report") from error


def _write(file: Path, content: str) -> None:
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        unfinished.write_text(content, encoding="utf-8")
        unfinished.rename(file)
    except OSError as error:
        raise UnusableOutput(f"{file} cannot be written: {error}. Free the disk or name another --report") from error


def tables(figures: Mapping[str, Any]) -> None:
    """Print a table for each set."""
    console = Console()
    for source, measured in figures.items():
        served = measured["as_served"]
        title = f"{source}, as served by the convention {measured['convention']}"
        table = Table("emotion", *(name.replace("_", " ") for name in _FIGURES), title=title)
        for emotion, row in served["emotions"].items():
            table.add_row(emotion, *(f"{row[name]:.3f}" if name != "support" else str(row[name]) for name in _FIGURES))
        console.print(table)
        console.print(_line("as served", served))
        for half in measured["cross_fitted"]:
            console.print(_line(f"tuned on half {half['tuned_on_half']}, there", half["tuned"]))
            console.print(_line(f"tuned on half {half['tuned_on_half']}, on the other half", half["measured"]))
        console.print(_line("each row by the other half's tuning", measured["other_half"]))
        console.print(_line("written, as served", measured["written"]["as_served"]))
        console.print(_line("written, each row by the other half's tuning", measured["written"]["other_half"]))


def _line(what: str, figures: Mapping[str, Any]) -> str:
    return (
        f"{what}: weighted F1 {figures['weighted_f1']:.4f}, macro F1 {figures['macro_f1']:.4f} "
        f"(without neutral {figures['macro_f1_emotions']:.4f}), weighted AP {figures['weighted_ap']:.4f}, "
        f"mean ECE {figures['mean_ece']:.4f} on {figures['rows']} rows"
    )

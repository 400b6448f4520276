"""Measuring a bundle on data sets: the command evaluate, and the report."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.normalization import normalize
from training.augmentation import as_spoken
from training.breakdowns import break_down, mistakes
from training.datasets import load
from training.errors import UnusableData, UnusableOutput
from training.evaluation import cross_fitted, from_other_half, measure
from training.examples import Examples
from training.html_report import page
from training.robustness import WORD_ERROR_PASSES, by_word_errors, changed
from training.served import Served, open_served
from training.thresholds import Floats

_FIGURES: Final = ("f1", "average_precision", "ece", "threshold", "support")
_SCORED_TOGETHER: Final = 1024


def evaluate_bundle(
    folder: Path,
    data: Sequence[str],
    output: Path | None = None,
    log_history: Sequence[Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Measure a bundle on the Russian validation rows of each set.

    Args:
        folder: of the bundle.
        data: folders, files or hub names of the sets.
        output: folder for report.html and metrics.json; without it neither is written, and word errors are not
            measured, which take most of the time.
        log_history: what the Trainer logged; None takes the learning curve from the manifest's metrics, if any.

    Returns:
        What `evaluate` does.

    Raises:
        TrainingError: the bundle, the data or the output cannot be used.
    """
    return evaluate(open_served(folder), load(data, "validation"), output, log_history)


def evaluate(
    served: Served,
    sets: Sequence[Examples],
    output: Path | None = None,
    log_history: Sequence[Mapping[str, float]] | None = None,
    *,
    verdict: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure a model on the Russian ones of the sets; see `evaluate_bundle`.

    Args:
        served: the model.
        sets: to measure on.
        output: folder for report.html and metrics.json.
        log_history: what the Trainer logged.
        verdict: of the gate, where it was judged, for the report; the first line sums the others up.

    Returns:
        For each source: as_served (in ASR form, with the manifest's thresholds), cross_fitted (calibration and
        thresholds tuned on one half of the set and measured on the other, both ways), other_half (the same as one
        figure over all rows), what `break_down` gives, written (punctuation kept: as_served, other_half, and the
        change of weighted F1 from the ASR form, as served and by the other half's tuning), and with an output
        word_errors (a list over the rates, as changes; where their cost is limited, over three draws of them).

    Raises:
        TrainingError: there is no Russian set, or the output cannot be written.
    """
    russian = [examples for examples in sets if examples.language == "ru" and len(examples)]
    if not russian:
        raise UnusableData("no Russian validation rows there; ru_go_emotions and brighter have some")
    if output:
        _make(output)
    figures, worst = {}, {}
    with _watched(served, russian, passes=2 + (WORD_ERROR_PASSES if output else 0)) as logits:
        for examples in russian:
            spoken = logits([as_spoken(text) for text in examples.texts])
            figures[examples.source] = _measured(served, examples, spoken, logits, misheard=output is not None)
            worst[examples.source] = mistakes(examples, served.scores(spoken))
    if output:
        _write(output / "metrics.json", json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
        history = log_history or served.manifest.metrics.get("learning_curve", ())
        _write(output / "report.html", page(served.manifest, figures, worst, history, verdict))
    return figures


@contextmanager
def _watched(served: Served, sets: Sequence[Examples], *, passes: int) -> Iterator[Callable[[Sequence[str]], Floats]]:
    """Yield the model's logits, in pieces and with a bar that is full after so many passes over the sets."""
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=passes * sum(map(len, sets)))

        def logits(texts: Sequence[str]) -> Floats:
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
        **_both_ways(served, examples, spoken),
        "cross_fitted": cross_fitted(spoken, examples.targets, examples.parts(2), examples.annotated),
        **break_down(examples, served.scores(spoken), served.thresholds),
        "written": _written(served, examples, spoken, logits),
    }
    if misheard:
        figures["word_errors"] = by_word_errors(served, examples, spoken, logits)
    return figures


def _both_ways(served: Served, examples: Examples, logits: Floats) -> dict[str, Any]:
    """Measure with the manifest's calibration and thresholds, and with those of the other half of the rows."""
    targets, known = examples.targets, examples.annotated
    scores, thresholds = from_other_half(logits, targets, examples.parts(2), known)
    return {
        "as_served": measure(served.scores(logits), targets, served.thresholds, known),
        "other_half": measure(scores, targets, thresholds, known),
    }


def _written(
    served: Served, examples: Examples, spoken: Floats, logits: Callable[[Sequence[str]], Floats]
) -> dict[str, Any]:
    written = logits([normalize(text) for text in examples.texts])
    return _both_ways(served, examples, written) | changed(served, examples, spoken, [written])


def _make(output: Path) -> None:
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
        table = Table("emotion", *(name.replace("_", " ") for name in _FIGURES), title=f"{source}, as served")
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

"""The command emotion-training drift."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter, validators

from schemas.durations import duration
from training.database import connect
from training.errors import UnusableOutput
from training.monitor.drift import compare
from training.monitor.windows import read_windows

DRIFTED: Final = 1
"""Exit code."""


def drift(  # noqa: PLR0913 - the command's options.
    *,
    window: str = "7d",
    reference: str = "30d",
    months: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
    page: Path | None = None,
    metrics: Path | None = None,
) -> None:
    """Compare the last results with those before.

    Args:
        window: How far back the results to look at go: 90m, 12h, 7d or 2w.
        reference: How far back from there those go that they are compared with.
        months: Number of months. Measure the champion on their labels too, of texts that it has not learnt.
        json_: Write the figures to this file.
        page: Write a page with plots to this file.
        metrics: Write the figures to this file for the textfile collector of Prometheus, which reads names ending in
            .prom.
    """
    before, now = read_windows(duration(reference), duration(window))
    found = compare(before, now)
    print("\n".join(found.lines()))  # noqa: T201 - the command's answer.
    champion: str | None = None
    quality: list[Any] = []
    if months:
        from training.monitor.label_quality import measure_champion  # noqa: PLC0415 - torch takes seconds.

        champion, quality = measure_champion(connect(), months)
        print(f"{champion} on labels of texts that it has not learnt:" if quality else "there are no such labels")  # noqa: T201 - as above.
        for month in quality:
            low, high = month.interval
            print(f"  {month.month}: weighted F1 {month.weighted_f1:.3f} ({low:.3f} to {high:.3f}), {month.rows} texts")  # noqa: T201 - as above.
    if json_:
        labels = [msgspec.to_builtins(month) for month in quality]
        figures = {**found.as_json(), "labels": {"model": champion, "months": labels}}
        _write(json_, json.dumps(figures, indent=2, ensure_ascii=False) + "\n", "--json")
    if page:
        from training.monitor.drift_page import drift_page  # noqa: PLC0415 - matplotlib takes seconds.

        _write(page, drift_page(found, before, now, quality, champion), "--page")
    if metrics:
        from training.monitor.prometheus_file import write_metrics  # noqa: PLC0415 - as above.

        write_metrics(metrics, found, quality)
    if found.found:
        sys.exit(DRIFTED)


def _write(file: Path, content: str, option: str) -> None:
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        # A trace would end with the exit code of a drift.
        raise UnusableOutput(f"{file} cannot be written: {error.strerror}. Name another {option}") from error

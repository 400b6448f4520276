"""The command emotion-training evaluate."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from training.data.datasets import load
from training.options import BundleFolder, Names


def evaluate(  # noqa: PLR0913 - the command's options.
    *,
    model: BundleFolder,
    data: Names,
    report: Path | None = None,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
    split: Literal["validation", "test"] = "validation",
    convention: str | None = None,
    behaviour: bool | None = None,
) -> None:
    """Measure a bundle on the Russian validation rows of data sets, in ASR form and as written.

    Args:
        model: The bundle: its folder, or small or tiny for one that comes with the code.
        data: Folders, files or hub names of the sets.
        report: Write report.html and metrics.json into this folder; measures robustness to word errors too.
        json_: Write the figures to this file.
        split: Which rows: those of validation may have chosen the bundle's thresholds, those of test never do.
        convention: Whose outputs of the bundle. By default each set is measured by the convention that its labels
            follow, where the bundle knows that one.
        behaviour: Ask it for lines that each show one phenomenon too, such as negation or sarcasm, and print the share
            that holds; the default asks where the convention is calls.
    """
    from training.evaluate import report as reports  # noqa: PLC0415 - --help is fast without torch.
    from training.evaluate.behaviour import behave, follows_calls, show, summed_up  # noqa: PLC0415 - as above.
    from training.evaluate.predictor import open_served  # noqa: PLC0415 - as above.

    served = open_served(model, convention)
    asked = follows_calls(served) if behaviour is None else behaviour
    found = behave(served) if asked else None
    figures = reports.evaluate(served, load(data, split), report, held_out=split == "test", behaviour=found)
    reports.tables(figures)
    if found:
        show(found)
    if json_:
        told = figures | ({"behaviour": summed_up(found)} if found else {})
        json_.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

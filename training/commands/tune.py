"""The command emotion-training tune."""

import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from training.options import BundleFolder, Names

NOTHING_WON: Final = 1
"""Exit code."""


def tune(*, model: BundleFolder, data: Names, output: Path, convention: str | None = None) -> None:
    """Fit thresholds and calibration to 50 to 1,000 labels of your own, in seconds.

    Args:
        model: The bundle: its folder, or small or tiny for one that comes with the code.
        data: Tables with the columns text and emotions, and session_id where you have it.
        output: The new bundle's folder; must not exist.
        convention: Of the labels, where the bundle follows several; without it, the bundle's default one.
    """
    from training.tune.run import tune_bundle  # noqa: PLC0415 - --help is fast without torch.
    from training.tune.table import as_table, lines  # noqa: PLC0415 - as above.

    trial, manifest = tune_bundle(model, data, output, convention=convention)
    Console().print(as_table(trial))
    print("\n".join(lines(trial)))  # noqa: T201 - the command's answer.
    if manifest is None:
        print(f"not kept, and {output} is not written; more labels may show more")  # noqa: T201 - as above.
        sys.exit(NOTHING_WON)
    print(f"{output} holds {manifest.version}")  # noqa: T201 - as above.

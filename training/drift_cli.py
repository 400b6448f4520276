"""The command emotion-training drift."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from training.errors import UnusableOutput

DRIFTED: Final = 1
"""Exit code."""


def drift(
    *,
    window: str = "7d",
    reference: str = "30d",
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Compare the last results with those before: scores, emotions, texts. Ends with 1 where they have drifted.

    Example:
        emotion-training drift --window 7d --reference 30d --json drift.json

    Args:
        window: How far back the results to look at go: 90m, 12h, 7d or 2w.
        reference: How far back from there those go that they are compared with.
        json_: Write the figures to this file.
    """
    from training.drift import compare  # noqa: PLC0415 - --help is fast without the rest.
    from training.windows import duration, read_windows  # noqa: PLC0415 - as above.

    found = compare(*read_windows(duration(reference), duration(window)))
    print("\n".join(found.lines()))  # noqa: T201 - the command's answer.
    if json_:
        _write(json_, found.as_json())
    if found.found:
        sys.exit(DRIFTED)


def _write(file: Path, figures: dict[str, Any]) -> None:
    try:
        file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        # A trace would end with the exit code of a drift.
        raise UnusableOutput(f"{file} cannot be written: {error.strerror}. Name another --json") from error

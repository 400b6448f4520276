"""The command emotion-training gate."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from training.errors import UnusableOutput
from training.options import Names, Overrides
from training.retrain.settings import read_settings

REJECTED: Final = 1
"""Exit code."""


def gate(  # noqa: PLR0913 - the command's options.
    a: str,
    b: str,
    /,
    *,
    data: Names,
    split: Literal["validation", "test"] = "validation",
    public: Names | None = None,
    set_: Overrides | None = None,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Compare two bundles by the rules of a retraining.

    Args:
        a: The one that is served: a bundle's folder, or a version as `models list` shows it.
        b: The one that would take its place.
        data: Tables, all rows of which judge, and other sets. Their labels follow A's default convention.
        split: Which rows of the other sets judge.
        public: Sets on whose validation rows both are compared too.
        set_: What is asked, such as gate.margin=0.01; docs/retraining.md lists it.
        json_: Write every number and verdict to this file.
    """
    from training.retrain.gate_bundles import gate_bundles  # noqa: PLC0415 - --help is fast without torch.

    settings = read_settings(None, set_ or ())
    limits = settings.gate.limits()
    verdict = gate_bundles(a, b, data, split=split, public=public or (), limits=limits, seed=settings.seed)
    print("\n".join(verdict.lines()))  # noqa: T201 - the command's answer.
    if json_:
        try:
            json_.write_text(json.dumps(verdict.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            # A trace would end with the exit code of a rejection.
            raise UnusableOutput(f"{json_} cannot be written: {error.strerror}. Name another --json") from error
    if not verdict.promoted:
        sys.exit(REJECTED)

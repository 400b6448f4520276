"""The command emotion-training."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
from cyclopts import App, Parameter

from training.errors import TrainingError
from training.settings import FitSettings

app = App(name="emotion-training", help="Fits and measures the models that emotion-worker serves.")


@app.command
def fit(settings: Annotated[FitSettings, Parameter(name="*")]) -> None:
    """Fine-tune an encoder and write a bundle.

    Example:
        emotion-training fit --data seara/ru_go_emotions go_emotions --base intfloat/multilingual-e5-small
        --output models/mine
    """
    from training.recipe import fit_bundle  # noqa: PLC0415 - --help is fast without torch.

    manifest = fit_bundle(settings)
    print(f"{settings.output} holds {manifest.version}")  # noqa: T201 - the command's answer.


@app.command
def evaluate(
    *,
    model: Path,
    data: Annotated[list[str], Parameter(consume_multiple=True)],
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure a bundle on the Russian validation rows of data sets, in ASR form.

    Example:
        emotion-training evaluate --model models/ru-emotions-small --data seara/ru_go_emotions --json metrics.json

    Args:
        model: The bundle's folder.
        data: Folders or hub names of the sets.
        json_: Write the figures to this file too.
    """
    from training.report import measure_bundle, tables  # noqa: PLC0415 - as above.

    figures = measure_bundle(model, data)
    tables(figures)
    if json_:
        json_.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; what the user can put right ends in one line and exit code 2."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        return app(arguments)
    except TrainingError as error:
        print(f"emotion-training: {error}", file=sys.stderr)  # noqa: T201 - the command's answer.
        sys.exit(2)


if __name__ == "__main__":
    main()

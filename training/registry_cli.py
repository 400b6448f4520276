"""The commands emotion-training models and emotion-training runs."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from training.errors import TrainingError
from training.options import Store

models = App(name="models", help="The models there are, and which of them is served.")
runs = App(name="runs", help="What the retraining job did, and why.")

_CHANGED = "workers that follow the registry swap now"


class UnknownRun(TrainingError):
    """There is no run of that number."""


@models.command(name="list")
def list_models() -> None:
    """List the models, the newest first: state, weighted F1, times, place."""
    from training.database import connect  # noqa: PLC0415 - --help is fast without the rest.
    from training.registry import versions  # noqa: PLC0415 - as above; torch takes seconds.

    rows = [
        (row.version, row.state, _figure(row.metrics), _time(row.created_at), _time(row.promoted_at), row.location)
        for row in versions(connect())
    ]
    _table(("version", "state", "weighted F1", "created", "promoted", "location"), rows)


@models.command
def register(folder: Path, /, *, store: Store = None) -> None:
    """Make a bundle a candidate.

    Example:
        emotion-training models register models/mine --store s3://bucket/models

    Args:
        folder: Of the bundle.
        store: Folder or URL to copy the bundle into, where the workers find it; without it, it stays in its folder.
    """
    from training.database import connect  # noqa: PLC0415 - as above.
    from training.registry import register as register_bundle  # noqa: PLC0415 - as above.

    print(f"{register_bundle(connect(), folder, store)} is a candidate")  # noqa: T201 - the command's answer.


@models.command
def promote(version: str, /) -> None:
    """Make a version the champion, and retire the one before.

    Args:
        version: As `models list` shows it.
    """
    from training.database import connect  # noqa: PLC0415 - as above.
    from training.registry import promote as promote_version  # noqa: PLC0415 - as above.

    promote_version(connect(), version)
    print(f"{version} is the champion; {_CHANGED}")  # noqa: T201 - the command's answer.


@models.command
def rollback() -> None:
    """Make the champion before the present one champion again; a second rollback takes it back."""
    from training.database import connect  # noqa: PLC0415 - as above.
    from training.registry import rollback as roll_back  # noqa: PLC0415 - as above.

    print(f"{roll_back(connect())} is the champion again; {_CHANGED}")  # noqa: T201 - the command's answer.


@models.command
def prune(*, keep: Annotated[int, Parameter(validator=validators.Number(gte=0))]) -> None:
    """Delete the bundles of retired and rejected models, but the newest ones and the one a rollback needs.

    Args:
        keep: How many to keep.
    """
    from training.database import connect  # noqa: PLC0415 - as above.
    from training.registry import prune as prune_bundles  # noqa: PLC0415 - as above.

    for version in prune_bundles(connect(), keep):
        print(f"the bundle of {version} is deleted")  # noqa: T201 - the command's answer.


@models.command
def compare(a: str, b: str | None = None, /, *, json_: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """Compare what two models say of the transcripts that both have scored, as WORKER_SHADOW=candidate lets them.

    Example:
        emotion-training models compare candidate-7
        emotion-training models compare candidate-7 champion-6 --json compared.json

    Args:
        a: A version, as `models list` shows it.
        b: Another one; without it, A is compared with what stands in emotion_results, by whichever version.
        json_: Write the figures to this file.
    """
    from rich.console import Console  # noqa: PLC0415 - as above.

    from training.compare import as_table, save  # noqa: PLC0415 - as above.
    from training.compare import compare as compare_versions  # noqa: PLC0415 - as above.
    from training.database import connect  # noqa: PLC0415 - as above.

    found = compare_versions(connect(), a, b)
    Console().print(as_table(found))
    if json_:
        save(found, json_)


@runs.command(name="list")
def list_runs() -> None:
    """List the runs of the retraining job, the newest first."""
    rows = [
        (
            str(run["id"]),
            run["state"],
            run["model_version"],
            _time(run["started_at"]),
            _time(run["finished_at"]),
            run["reason"],
        )
        for run in _runs()
    ]
    _table(("run", "state", "model", "started", "finished", "reason"), rows)


@runs.command
def show(number: int, /) -> None:
    """Show every number and verdict of a run.

    Args:
        number: As `runs list` shows it.
    """
    found = {run["id"]: run for run in _runs()}
    if number not in found:
        latest = f"the latest is {max(found)}" if found else "nor any other"
        raise UnknownRun(f"there is no run {number}; {latest}")
    run = found[number]
    details = run.pop("details")
    for name, value in run.items():
        print(f"{name.replace('_', ' ')}: {_time(value) if isinstance(value, datetime) else _text(value)}")  # noqa: T201 - the command's answer.
    print(json.dumps(details, indent=2, ensure_ascii=False))  # noqa: T201 - as above.


def _runs() -> list[dict[str, Any]]:
    from sqlalchemy import select  # noqa: PLC0415 - --help is fast without the rest.

    from schemas.tables import training_runs  # noqa: PLC0415 - as above.
    from training.database import connect, database_problems  # noqa: PLC0415 - as above.

    with database_problems(), connect().connect() as connection:
        rows = connection.execute(select(training_runs).order_by(training_runs.c.id.desc()))
        return [dict(row) for row in rows.mappings()]


def _figure(metrics: dict[str, Any]) -> str:
    served = metrics.get("as_served", {})
    return f"{served['weighted_f1']:.4f}" if "weighted_f1" in served else "-"


def _time(moment: datetime | None) -> str:
    return moment.astimezone().isoformat(" ", "seconds") if moment else "-"


def _text(value: Any) -> str:
    return "-" if value in {None, ""} else str(value)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print columns as wide as what they hold: a version that is cut short could not be copied."""
    lines = [head, *(tuple(map(_text, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())  # noqa: T201 - the command's answer.

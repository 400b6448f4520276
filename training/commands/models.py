"""The commands emotion-training models and emotion-training runs."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.console import Console
from sqlalchemy import select

from registry.lifecycle import promote as promote_version
from registry.lifecycle import reject as reject_version
from registry.lifecycle import rollback as roll_back
from registry.lifecycle import versions
from registry.postgres import database_problems
from registry.prune import prune as prune_bundles
from schemas.errors import UserError
from schemas.tables import training_runs
from training.database import connect
from training.environment import Environment
from training.model_facts import differences, facts
from training.monitor.shadow_comparison import as_table, save
from training.monitor.shadow_comparison import compare as compare_versions

_CHANGED = "workers that follow the registry swap now"


def list_models() -> None:
    """List the models, the newest first."""
    rows = [
        (row.version, row.state, _figure(row.metrics), _time(row.created_at), _time(row.promoted_at), row.location)
        for row in versions(connect())
    ]
    _table(("version", "state", "weighted F1", "created", "promoted", "location"), rows)


def register(folder: Path, /, *, store: str | None = None) -> None:
    """Make a bundle a candidate.

    Args:
        folder: The bundle's folder.
        store: Folder or URL to copy the bundle into, where the workers find it; without it, TRAINING_MODEL_STORE's.
            Without either, it stays in its folder.
    """
    from registry.publish import register as register_bundle  # noqa: PLC0415 - --help is fast without torch.

    place = Environment.load(model_store=store).model_store
    print(f"{register_bundle(connect(), folder, place)} is a candidate")  # noqa: T201 - the command's answer.


def promote(version: str, /) -> None:
    """Make a version the champion, and retire the one before.

    Args:
        version: A version, as `models list` shows it.
    """
    promote_version(connect(), version)
    print(f"{version} is the champion; {_CHANGED}")  # noqa: T201 - the command's answer.


def rollback() -> None:
    """Make the champion before the present one champion again."""
    print(f"{roll_back(connect())} is the champion again; {_CHANGED}")  # noqa: T201 - the command's answer.


def reject(version: str, /, *, reason: str = "rejected by hand") -> None:
    """Mark a version as one that is not to be served.

    Args:
        version: A version, as `models list` shows it; the champion cannot be rejected.
        reason: Why, for those who look at the version later.
    """
    reject_version(connect(), version, reason)
    print(f"{version} is rejected")  # noqa: T201 - the command's answer.


def prune(*, keep: Annotated[int, Parameter(validator=validators.Number(gte=0))], dry_run: bool = False) -> None:
    """Delete the bundles of retired and rejected models, but the newest ones and the one a rollback needs.

    Args:
        keep: How many to keep.
        dry_run: Say what would be deleted, and delete nothing.
    """
    what = "would be deleted" if dry_run else "is deleted"
    for version in prune_bundles(connect(), keep, dry_run=dry_run):
        print(f"the bundle of {version} {what}")  # noqa: T201 - the command's answer.


def show_model(model: str, /) -> None:
    """Show what a model is.

    Args:
        model: A version, as `models list` shows it, a bundle's folder, small or tiny.
    """
    for title, named in facts(model).items():
        print(title)  # noqa: T201 - the command's answer.
        _table(("", ""), [(f"  {name}", _value(value)) for name, value in named.items()], headed=False)


def diff(a: str, b: str, /) -> None:
    """Show what two models differ in.

    Args:
        a: A version, as `models list` shows it, a bundle's folder, small or tiny.
        b: Another one.
    """
    found = differences(facts(a), facts(b))
    for title, named in found.items():
        print(title)  # noqa: T201 - the command's answer.
        rows = [(f"  {name}", _value(one), _value(other), _change(one, other)) for name, (one, other) in named.items()]
        _table(("", "", "", ""), rows, headed=False)
    if not found:
        print("they differ in nothing that their manifests tell")  # noqa: T201 - the command's answer.


def compare(a: str, b: str | None = None, /, *, json_: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """Compare what two models say of the transcripts that both have scored, as WORKER_SHADOW=candidate lets them.

    Args:
        a: A version, as `models list` shows it.
        b: Another one; without it, A is compared with what stands in emotion_results, by whichever version.
        json_: Write the figures to this file.
    """
    found = compare_versions(connect(), a, b)
    Console().print(as_table(found))
    if json_:
        save(found, json_)


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


def show(number: int, /) -> None:
    """Show every number and verdict of a run.

    Args:
        number: As `runs list` shows it.
    """
    found = {run["id"]: run for run in _runs()}
    if number not in found:
        latest = f"the latest is {max(found)}" if found else "nor any other"
        raise UserError(f"there is no run {number}; {latest}")
    run = found[number]
    details = run.pop("details")
    for name, value in run.items():
        print(f"{name.replace('_', ' ')}: {_time(value) if isinstance(value, datetime) else _text(value)}")  # noqa: T201 - the command's answer.
    print(json.dumps(details, indent=2, ensure_ascii=False))  # noqa: T201 - as above.


def _runs() -> list[dict[str, Any]]:

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


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else _text(value)


def _change(a: Any, b: Any) -> str:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
    # A blank, for an empty cell is shown as a dash.
    return f"{b - a:+.4g}" if numbers else " "


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]], *, headed: bool = True) -> None:
    """Print columns as wide as what they hold: a version that is cut short could not be copied."""
    lines = [*([head] if headed else []), *(tuple(map(_text, row)) for row in rows)]
    if not lines:
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())  # noqa: T201 - the command's answer.

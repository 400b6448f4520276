"""Where texts remain whose labels were forgotten, and what to do there: files of retraining, bundles, backups."""

import html
import re
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from registry.lifecycle import versions
from registry.versions import PRUNED
from schemas.errors import UserError
from training.data.known_texts import known_texts, tells_all

_IDENTITY: Final = re.compile(rb"\b[0-9a-f]{16}\b")

_START_ANEW: Final = (
    "run `emotion-training retrain --force --set start=base`, promote what comes of it, then `emotion-training models "
    "prune`, for weights do not forget"
)

_ELSEWHERE: Final = (
    "backups and dumps of the database hold the rows: let them expire, and forget again after a restore",
    "imported files, those of `labels export` and Label Studio hold texts: delete them, or an import brings them back",
    "rows of emotion_results go by `emotion-worker erase`; records in Kafka and dead letters when their retention ends",
)


def find_remains(engine: Engine, texts: Mapping[str, str], work: Path) -> Iterator[str]:
    """Yield a line for each place that holds some of the texts, with what to do there.

    Args:
        engine: SQLAlchemy engine connected to the database of the models.
        texts: by their identities.
        work: folder of the retraining's runs.

    Raises:
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    if work.is_dir():
        yield from _in_snapshots(texts, work)
        yield from _in_reports(texts, work)
    else:
        yield (
            f"{work} is not here: run this with --dry-run where retraining works, or name its folder by --work. Once "
            "the labels are forgotten, delete snapshot, reports and run-* of that folder"
        )
    yield from _in_models(engine, texts)
    yield from _ELSEWHERE


def _in_snapshots(texts: Mapping[str, str], work: Path) -> Iterator[str]:
    wanted = {name.encode() for name in texts}
    for folder in _folders(work, "snapshot", "run-*/snapshot", "run-*/fold-*-labels"):
        held = set()
        for file in sorted(folder.glob("*")):
            with file.open("rb") as lines:
                held |= {name for line in lines for name in _IDENTITY.findall(line)} & wanted
        if held:
            # Only the last snapshot is sure to be replaced: a run's own goes when that run does.
            replaced = ", or let the next retraining replace it" if folder.parent == work else ""
            yield f"{folder} holds {_count(held, texts)}: delete the folder{replaced}"
    for folder in _folders(work, ".snapshot.unfinished", "run-*/.snapshot.unfinished"):
        yield f"{folder} may hold the texts, from a snapshot that did not end: delete it once no retraining is at work"


def _folders(work: Path, *patterns: str) -> list[Path]:
    return sorted({folder for pattern in patterns for folder in work.glob(pattern)})


def _in_reports(texts: Mapping[str, str], work: Path) -> Iterator[str]:
    for file in sorted({*work.glob("reports/*/report.html"), *work.glob("run-*/report/report.html")}):
        said = html.unescape(file.read_text(encoding="utf-8"))
        if quoted := {name for name, text in texts.items() if text in said}:
            yield f"{file} quotes {_count(quoted, texts)}: delete it"


def _in_models(engine: Engine, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield the models that have learnt some of the texts, or that do not say what they have learnt."""
    for row in versions(engine):
        if row.location == PRUNED:
            continue
        name = f"model {row.version} ({row.state}, {row.location})"
        try:
            known = known_texts(row.location)
        except UserError as error:
            yield f"{name} cannot be looked into: {error}"
            continue
        if held := [each for each in texts if known.holds(each)]:
            yield f"{name} has learnt {_count(held, texts)}: {_START_ANEW}"
        elif not tells_all(row.metrics) and row.state != "rejected":
            yield f"{name} does not list all that it has learnt: if the texts were among it, {_START_ANEW}"


def _count(held: Sized, texts: Sized) -> str:
    return f"{len(held)} of the {len(texts)} texts"

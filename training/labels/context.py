"""What annotators see with a text, and what they must not see: the turns before it, and the model's answer."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Engine, select

from registry.postgres import database_problems
from schemas.tables import emotion_results
from training.data.splits import split_of
from training.label_files.sheet import PREVIOUS_TURNS
from training.labels import Blind

_ABOUT: Final = "about"
"""Where a task's data have source and speaker in one line, which Label Studio shows above the text."""

_TURNS: Final = 3
"""Turns before a text that an annotator sees."""

_RESULTS = emotion_results.c


def add_context(engine: Engine, tasks: Sequence[dict[str, Any]]) -> None:
    """Add to the data of each task what was said before in its call, and source and speaker for the eye.

    Where the call is not known there is nothing before.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        tasks: as `training.labels.tasks.draw` returns them.

    Raises:
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the table.
    """
    sessions = {task["data"]["session_id"] for task in tasks if task["data"].get("session_id")}
    query = (
        select(_RESULTS.transcript_id, _RESULTS.source, _RESULTS.session_id, _RESULTS.speaker, _RESULTS.text)
        .where(_RESULTS.session_id.in_(sessions), _RESULTS.text.is_not(None))
        .order_by(_RESULTS.segment.asc().nulls_last(), _RESULTS.spoken_at, _RESULTS.transcript_id)
    )
    calls: dict[tuple[str, str], list[str]] = defaultdict(list)
    before: dict[tuple[str, str], str] = {}
    with database_problems(), engine.connect() as connection:
        for name, source, session, speaker, text in connection.execute(query):
            said = calls[source, session]
            before[name, source] = "\n".join(said[-_TURNS:])
            said.append(f"{speaker}: {text}" if speaker else text)
    for task in tasks:
        data = task["data"]
        data[PREVIOUS_TURNS] = before.get((data["transcript_id"], data["source"]), "")
        data[_ABOUT] = ", ".join(str(data[name]) for name in ("source", "speaker") if data.get(name))


def hide_answers(tasks: Iterable[dict[str, Any]], blind: Blind) -> None:
    """Take the model's answer from tasks: who sees an answer tends to confirm it, and the model would judge itself."""
    for task in tasks:
        if blind == "all" or (
            blind == "judging" and split_of(task["data"]["text"], task["data"].get("session_id", "")) != "train"
        ):
            task["predictions"] = []

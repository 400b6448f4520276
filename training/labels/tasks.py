"""Which texts are worth an annotator's time: drawn from the worker's results, with the model's answer.

Strategies, best first:

* uncertain: the sum of p (1 - p) over the emotions, which is the Brier score to expect where p is calibrated.
* rare: the sum of p / (1 + labels of that emotion), so that what was labelled seldom comes first.
* disagreement: the squared distance between the stored probabilities and those of another bundle. It is looked for
  among texts drawn at random, since scoring all would take hours.
* random: for a share that says something of all texts; the same seed draws the same.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, select

from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from schemas.tables import emotion_results, labelled_texts
from training.database import database_problems
from training.errors import TrainingError, UnusableOutput, UnusableRecipe
from training.labels import Strategy
from training.labels.label_studio import configuration, task
from training.labels.table import stats

Scorer = Callable[[Sequence[str]], NDArray[np.float32]]
"""Gives calibrated probabilities, n x 7, of n texts."""

TASKS: Final = "tasks.json"
CONFIGURATION: Final = "config.xml"

_POOL: Final = 20
"""Texts that are drawn at random for each one that two models are to disagree on."""

_RESULTS = emotion_results.c
_PROBABILITIES: Final = [_RESULTS[emotion] for emotion in EMOTIONS]
_DATA: Final = ("text", "transcript_id", "source", "session_id", "speaker", "model_version")


class NothingToLabel(TrainingError):
    """There are no results, or all of their texts are labelled."""


def draw(
    engine: Engine, strategy: Strategy, count: int, *, other: Scorer | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Draw tasks for Label Studio: no text twice, and none that is labelled already, both as the model sees texts.

    Args:
        engine: of the database.
        strategy: how; see above.
        count: at most so many.
        other: the model to compare with, where disagreement is looked for.
        seed: of what is drawn at random.

    Raises:
        UnusableRecipe: disagreement needs another model.
        NothingToLabel: there is no text left.
        UnusableDatabase: Postgres is away, refuses us, or lacks the tables.
    """
    if strategy == "disagreement" and other is None:
        raise UnusableRecipe("disagreement is between two models: name the other one's bundle with --against")
    order = _order(engine, strategy, seed)
    with database_problems(), engine.connect() as connection:
        wanted = count * _POOL if other and strategy == "disagreement" else count
        rows = list(_first(_unlabelled(connection, order), wanted))
    if not rows:
        raise NothingToLabel("emotion_results holds no text that is not labelled yet. Let the worker run first")
    if other and strategy == "disagreement":
        distances = np.square(_stored(rows) - other([row["text"] for row in rows])).sum(axis=1)
        rows = [rows[at] for at in np.argsort(-distances, kind="stable")[:count]]
    return [_task(row) for row in rows]


def write(folder: Path, tasks: Iterable[Mapping[str, Any]]) -> None:
    """Write tasks and the labelling configuration into a new folder.

    Raises:
        UnusableOutput: the folder exists or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
        (folder / CONFIGURATION).write_text(configuration(), encoding="utf-8")
        content = json.dumps(list(tasks), ensure_ascii=False, indent=1)
        (folder / TASKS).write_text(content + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise UnusableOutput(f"{folder} exists. Name a new folder with --output, or move that one away") from error
    except OSError as error:
        raise UnusableOutput(f"{folder} cannot be written: {error}. Name another --output") from error


def scorer(folder: Path) -> Scorer:
    """Open a bundle as a scorer.

    Raises:
        UnusableModel: it is no bundle, it is damaged, or it is not one for this version.
    """
    from training.bundles import open_bundle  # noqa: PLC0415 - torch takes seconds, and the rest does without.
    from training.network import score  # noqa: PLC0415 - as above.
    from training.thresholds import probabilities  # noqa: PLC0415 - as above.

    model, tokenizer, manifest = open_bundle(folder)
    calibration = [manifest.calibration[emotion] for emotion in EMOTIONS]
    return lambda texts: probabilities(
        score(model, tokenizer, [normalize(text) for text in texts], manifest.max_tokens), calibration
    )


def _order(engine: Engine, strategy: Strategy, seed: int) -> ColumnElement[Any]:
    if strategy == "uncertain":
        return _sum(probability * (1 - probability) for probability in _PROBABILITIES).desc()
    if strategy == "rare":
        labels = stats(engine).emotions
        return _sum(_RESULTS[emotion] / (1.0 + labels[emotion]) for emotion in EMOTIONS).desc()
    return func.md5(func.concat(str(seed), _RESULTS.transcript_id))


def _sum(terms: Iterable[ColumnElement[Any]]) -> ColumnElement[Any]:
    first, *others = terms
    for term in others:
        first = first + term
    return first


def _unlabelled(connection: Connection, order: ColumnElement[Any]) -> Iterator[RowMapping]:
    done = {normalize(text) for text in connection.scalars(select(labelled_texts.c.text))}
    labelled = labelled_texts.c.transcript_id
    corrected = set(connection.scalars(select(labelled).where(labelled.is_not(None))))
    # Texts without words have no probabilities.
    query = select(emotion_results).where(_PROBABILITIES[0].is_not(None)).order_by(order, _RESULTS.transcript_id)
    streamed = connection.execution_options(stream_results=True, yield_per=1_000)
    for row in streamed.execute(query).mappings():
        seen = normalize(row["text"])
        if seen and seen not in done and row["transcript_id"] not in corrected:
            done.add(seen)
            yield row


def _first(rows: Iterator[RowMapping], count: int) -> Iterator[RowMapping]:
    return (row for _, row in zip(range(count), rows, strict=False))


def _stored(rows: Sequence[RowMapping]) -> NDArray[np.float32]:
    return np.array([[row[emotion] for emotion in EMOTIONS] for row in rows], np.float32)


def _task(row: RowMapping) -> dict[str, Any]:
    data = {name: row[name] for name in _DATA if row[name] is not None}
    # As sure as of the emotion of which the model is least sure.
    sure = min(max(row[emotion], 1 - row[emotion]) for emotion in EMOTIONS)
    return task(data, list(row["emotions"]), round(sure, 4))

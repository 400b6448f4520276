"""Which texts are worth an annotator's time: drawn from the worker's results, with the model's answer.

Strategies score texts that were drawn at random, and a text of a high score is drawn more likely:

* uncertain: the sum of p (1 - p) over the emotions, which is the Brier score to expect where p is calibrated.
* rare: the sum of p / (1 + labels of that emotion), so that what was labelled seldom comes more often.
* disagreement: the squared distance between the stored probabilities and those of another bundle.
* random: all are as likely.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, RowMapping, exists, func, select

from registry.postgres import database_problems
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from schemas.tables import emotion_results, labelled_texts
from training.data.sampling import RANDOM_SHARE, draw_by_chance
from training.errors import UnusableData, UnusableOutput, UnusableRecipe
from training.labels import Strategy
from training.labels.label_studio import configuration, task
from training.labels.table import stats

Scorer = Callable[[Sequence[str]], NDArray[np.float32]]
"""Gives calibrated probabilities, n x 7, of n texts."""

TASKS: Final = "tasks.json"
CONFIGURATION: Final = "config.xml"

_POOL: Final = 20
"""Texts that are drawn at random for each one that is wanted: among them the strategy chooses."""

_LARGEST_POOL: Final = 100_000
"""Of these texts, where more are not wanted."""

_RESULTS = emotion_results.c
_PROBABILITIES: Final = [_RESULTS[emotion] for emotion in EMOTIONS]
_DATA: Final = ("text", "transcript_id", "source", "session_id", "speaker", "model_version")
"""What a task shows of a result, or keeps for its label."""


def draw(  # noqa: PLR0913 - what is drawn, and how.
    engine: Engine,
    strategy: Strategy,
    count: int,
    *,
    other: Scorer | None = None,
    random_share: float = RANDOM_SHARE,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Draw tasks for Label Studio: no text twice, and none that is labelled already, both as the model sees texts.

    Each task says how its text was drawn and how likely that was, so that its label can judge models by the right
    weight. The order is that of the draw: whoever labels the first ones alone has drawn fewer, and not otherwise.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        strategy: how; see above.
        count: maximum number of texts.
        other: the model to compare with, where disagreement is looked for.
        random_share: of the chance that is equal for all texts, above 0.
        seed: of what is drawn at random.

    Raises:
        UnusableRecipe: disagreement needs another model.
        UnusableData: there is no text left.
        ConfigurationError, DatabaseAway: Postgres refuses us, is away, or lacks the tables.
    """
    if strategy == "disagreement" and other is None:
        raise UnusableRecipe("disagreement is between two models: name the other one's bundle with --against")
    with database_problems(), engine.connect() as connection:
        rows = list(_first(_unlabelled(connection, seed), max(count, min(count * _POOL, _LARGEST_POOL))))
        if not rows:
            raise UnusableData(_why_none(connection))
    share = 1.0 if strategy == "random" else random_share
    numbers = np.random.default_rng(seed).random(len(rows))
    drawn, chances = draw_by_chance(_scores(engine, strategy, rows, other), numbers, count, share)
    return [_task(rows[at], strategy, float(chances[at])) for at in drawn]


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
    from registry.load import load_bundle  # noqa: PLC0415 - torch takes seconds, and the rest does without.
    from training.evaluate.thresholds import probabilities  # noqa: PLC0415 - as above.
    from training.learn.network import score  # noqa: PLC0415 - as above.

    model, tokenizer, manifest = load_bundle(folder)
    calibration = [manifest.calibration[emotion] for emotion in EMOTIONS]
    return lambda texts: probabilities(
        score(model, tokenizer, [normalize(text) for text in texts], manifest.max_tokens), calibration
    )


def _scores(
    engine: Engine, strategy: Strategy, rows: Sequence[RowMapping], other: Scorer | None
) -> NDArray[np.float64]:
    """Return how much a strategy makes of each of n rows."""
    stored, scores = _stored(rows).astype(np.float64), np.ones(len(rows))
    if strategy == "uncertain":
        scores = (stored * (1 - stored)).sum(1)
    elif strategy == "rare":
        labels = stats(engine).emotions
        scores = (stored / [1.0 + labels[emotion] for emotion in EMOTIONS]).sum(1)
    elif strategy == "disagreement" and other:
        scores = np.square(stored - other([row["text"] for row in rows])).sum(1)
    return scores


def _why_none(connection: Connection) -> str:
    said = "emotion_results holds no text that is not labelled yet. "
    if connection.scalar(select(exists().where(_RESULTS.text.is_(None)))):
        return said + "Rows without a text are there: set WORKER_STORE_TEXT=yes for the worker and let it run"
    return said + "Let the worker run first"


def _unlabelled(connection: Connection, seed: int) -> Iterator[RowMapping]:
    """Yield results whose texts nobody has labelled, in an order that is drawn at random for each text."""
    done = {normalize(text) for text in connection.scalars(select(labelled_texts.c.text))}
    about = (labelled_texts.c.transcript_id, labelled_texts.c.source)
    corrected = {tuple(row) for row in connection.execute(select(*about).where(about[0].is_not(None)))}
    # Texts without words have no probabilities.
    query = (
        select(emotion_results)
        .where(_PROBABILITIES[0].is_not(None), _RESULTS.text.is_not(None))
        .order_by(func.md5(func.concat(str(seed), _RESULTS.text)), _RESULTS.transcript_id, _RESULTS.source)
    )
    streamed = connection.execution_options(stream_results=True, yield_per=1_000)
    for row in streamed.execute(query).mappings():
        seen = normalize(row["text"])
        name = row["transcript_id"]
        if seen and seen not in done and corrected.isdisjoint({(name, row["source"]), (name, None)}):
            done.add(seen)
            yield row


def _first(rows: Iterator[RowMapping], count: int) -> Iterator[RowMapping]:
    return (row for _, row in zip(range(count), rows, strict=False))


def _stored(rows: Sequence[RowMapping]) -> NDArray[np.float32]:
    return np.array([[row[emotion] for emotion in EMOTIONS] for row in rows], np.float32)


def _task(row: RowMapping, strategy: Strategy, chance: float) -> dict[str, Any]:
    data = {name: row[name] for name in _DATA if row[name] is not None}
    data |= {"drawn_by": strategy, "relative_chance": round(chance, 4)}
    # As sure as of the emotion of which the model is least sure.
    sure = min(max(row[emotion], 1 - row[emotion]) for emotion in EMOTIONS)
    return task(data, list(row["emotions"]), round(sure, 4))

"""The champion's quality on the labels of each month: it falls where people now say what the model never learnt."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from sqlalchemy import Engine

from registry.lifecycle import champion
from registry.postgres import database_problems
from registry.released import released_model
from registry.versions import describe_bundle, fetch
from schemas.emotions import EMOTIONS
from schemas.normalization import normalize
from training.data.splits import identity, side_of
from training.data.text_forms import as_spoken
from training.evaluate.breakdowns import weighted_f1
from training.evaluate.metrics import counts, f1_scores, interval, resampled_f1
from training.evaluate.predictor import Served, open_served
from training.labels.latest_labels import ENGLISH, LearnableLabel, one_a_text, source_of
from training.labels.table import in_order
from training.retrain.run_history import Learnt, learnt_labels


class Month(msgspec.Struct, frozen=True):
    """A model on the texts that were labelled in one month.

    Attributes:
        month: as 2026-11, in UTC.
        rows: texts.
        weighted_f1: on them.
        interval: 95 %, of the weighted F1, from bootstrap samples of the texts.
        f1: of each emotion.
    """

    month: str
    rows: int
    weighted_f1: float
    interval: list[float]
    f1: dict[str, float]


def measure_champion(engine: Engine, months: int) -> tuple[str, list[Month]]:
    """Measure the champion on the labels of the last months; before the first promotion, the released model.

    Only held-out texts judge, and none of a set that the model has learnt whole.

    Args:
        engine: SQLAlchemy engine connected to the database of labels.
        months: how many calendar months, counting only those with labels.

    Returns:
        The model's version, and the months, the oldest first.

    Raises:
        RegistryError, UnusableModel: the bundle cannot be fetched or opened.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    row = champion(engine) or describe_bundle(released_model())
    labels = _held_out(engine, learnt_labels(engine, row))
    last = sorted(labels)[-months:]
    if not last:
        return row.version, []
    with TemporaryDirectory() as cache:
        served = open_served(fetch(row, Path(cache)).folder)
        return row.version, [_measured(month, _judging(labels[month]), served) for month in last]


def _judging(labels: Sequence[LearnableLabel]) -> list[LearnableLabel]:
    """Return one label a text."""
    return list(one_a_text(sorted(labels, key=attrgetter("identity"))))


def _held_out(engine: Engine, known: Learnt) -> Mapping[str, list[LearnableLabel]]:
    """Return the last label of each annotator, text and month, where the text judges, by months."""
    last: dict[tuple[str, str, str], LearnableLabel] = {}
    learnt_texts = set()
    with database_problems(), engine.connect() as connection:
        for row in connection.execute(in_order()):
            if row.origin == ENGLISH or not normalize(row.text):
                continue
            source, name = source_of(row.origin), identity(row.text)
            if source in known.whole:
                learnt_texts.add(name)
            if side_of(name, row.session_id or "") == "holdout" and not known.texts.holds(name):
                label = LearnableLabel(
                    source=source,
                    identity=name,
                    text=row.text,
                    emotions=frozenset(row.emotions),
                    annotated=frozenset(row.annotated),
                )
                last[f"{row.labelled_at:%Y-%m}", name, row.coder] = label
    found: dict[str, list[LearnableLabel]] = defaultdict(list)
    for (month, name, _), label in last.items():
        if label.annotated and name not in learnt_texts:
            found[month].append(label)
    return found


def _measured(month: str, labels: Sequence[LearnableLabel], served: Served) -> Month:
    texts = [as_spoken(label.text) for label in labels]
    targets, annotated = (_table(labels, there) for there in (lambda it: it.emotions, lambda it: it.annotated))
    counted = counts(served.scores(served.logits(texts)), targets, served.rule, annotated > 0)
    _, weighted = resampled_f1(*counted)
    f1 = f1_scores(*counted)
    return Month(
        month=month,
        rows=len(labels),
        weighted_f1=weighted_f1(*counted),
        interval=interval(weighted),
        f1={emotion: float(f1[at]) for at, emotion in enumerate(EMOTIONS)},
    )


def _table(labels: Sequence[LearnableLabel], emotions: Callable[[LearnableLabel], Collection[str]]) -> np.ndarray:
    return np.array([[emotion in emotions(label) for emotion in EMOTIONS] for label in labels], np.float32)

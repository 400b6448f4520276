"""Two models on the transcripts that both have scored: where they differ, and which of them people agree with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table
from sqlalchemy import (
    ColumnElement,
    Engine,
    Integer,
    Label,
    Subquery,
    and_,
    any_,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from registry.postgres import database_problems
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, shadow_results
from training.errors import UnusableData, UnusableOutput
from training.labels.table import latest

ANY: Final = "any"
"""In place of a version: the model that scored the row of emotion_results."""

_STORED: Final = emotion_results.c
_SHADOW: Final = shadow_results.c
_KEY: Final = ("transcript_id", "source")


class EmotionPair(msgspec.Struct, frozen=True):
    """How two models treat one emotion.

    Attributes:
        emotion: its name.
        rate_a: share of the transcripts to which A assigns it.
        rate_b: the same of B.
        agreement: share of the transcripts on which both say the same.
        difference: mean absolute difference of their probabilities.
        labels: how many labels say whether a transcript carries it.
        f1_a: F1 of A on them; None where neither a label nor A says that a transcript carries it.
        f1_b: the same of B.
    """

    emotion: str
    rate_a: float
    rate_b: float
    agreement: float
    difference: float
    labels: int
    f1_a: float | None
    f1_b: float | None


class Comparison(msgspec.Struct, frozen=True):
    """Two models side by side.

    Attributes:
        a: version of the one.
        b: version of the other, or "any".
        conventions_a: of labels that A followed.
        conventions_b: those that B followed.
        rows: transcripts that both have scored.
        labelled: how many of them people have labelled.
        emotions: one item an emotion.
    """

    a: str
    b: str
    conventions_a: Sequence[str]
    conventions_b: Sequence[str]
    rows: int
    labelled: int
    emotions: Sequence[EmotionPair]


def compare(engine: Engine, a: str, b: str | None = None) -> Comparison:
    """Compare what two models say of the same transcripts.

    Where several people labelled a transcript, the last label of each counts; of each, the emotions that could have
    been given.

    Args:
        engine: SQLAlchemy engine connected to the results database.
        a: a version that the shadow has scored with, or that has scored rows itself.
        b: another one; None takes what stands in emotion_results, by whichever version but A.

    Raises:
        UnusableData: no transcript has been scored by both.
        ConfigurationError, DatabaseAway: see `registry.postgres.database_problems`.
    """
    pairs = _pairs(a, b)
    labels = latest().subquery("labels")
    same_source = or_(labels.c.source == pairs.c.source, labels.c.source.is_(None))
    labelled = pairs.join(labels, and_(labels.c.transcript_id == pairs.c.transcript_id, same_source))
    differences = [figure for emotion in EMOTIONS for figure in _differences(pairs, emotion)]
    verdicts = [count for emotion in EMOTIONS for count in _verdicts(pairs, labels, emotion)]
    with database_problems(), engine.connect() as connection:
        query = select(func.count().label("rows"), *_conventions(pairs), *differences).select_from(pairs)
        found = dict(connection.execute(query).mappings().one())
        if not found["rows"]:
            raise UnusableData(
                f"no transcript has been scored by both {a} and {b or 'another version'}: let WORKER_SHADOW=candidate "
                "score some, and take the versions from `emotion-training models list`"
            )
        texts = func.count(tuple_(*(pairs.c[name] for name in _KEY)).distinct()).label("labelled")
        found |= connection.execute(select(texts, *verdicts).select_from(labelled)).mappings().one()
    conventions = found["conventions_a"], found["conventions_b"]
    pair = [_pair(emotion, found) for emotion in EMOTIONS]
    return Comparison(a, b or ANY, *conventions, found["rows"], found["labelled"], pair)


def as_table(found: Comparison) -> Table:
    """Lay a comparison out for a terminal."""
    a, b = (", ".join(names) for names in (found.conventions_a, found.conventions_b))
    counted = f"{found.rows:,} transcripts, {found.labelled:,} of them labelled"
    title = f"A: {found.a} ({a}), B: {found.b} ({b}); {counted}"
    table = Table(title=title, title_justify="left")
    table.add_column("emotion")
    for head in ("rate A", "rate B", "agreement", "difference", "labels", "F1 A", "F1 B"):
        table.add_column(head, justify="right")
    for item in found.emotions:
        shares = (f"{share:.1%}" for share in (item.rate_a, item.rate_b, item.agreement))
        scores = ("-" if score is None else f"{score:.3f}" for score in (item.f1_a, item.f1_b))
        table.add_row(item.emotion, *shares, f"{item.difference:.3f}", f"{item.labels:,}", *scores)
    return table


def save(found: Comparison, file: Path) -> None:
    """Write a comparison as JSON.

    Raises:
        UnusableOutput: the file cannot be written.
    """
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    except OSError as error:
        raise UnusableOutput(f"{file} cannot be written: {error.strerror}. Name another --json") from error


def _pairs(a: str, b: str | None) -> Subquery:
    """Return transcripts that both have scored: columns a_anger, b_anger and so on, a_emotions and b_emotions."""
    first = _scores(a).subquery("a")
    if b is None:
        stored = select(*_columns(_STORED)).where(_STORED.model_version != a, _STORED[EMOTIONS[0]].is_not(None))
        second = stored.subquery("b")
    else:
        second = _scores(b).subquery("b")
    names = ("convention", "emotions", *EMOTIONS)
    both = [scores.c[name].label(f"{scores.name}_{name}") for scores in (first, second) for name in names]
    joined = first.join(second, and_(*(first.c[name] == second.c[name] for name in _KEY)))
    return select(*(first.c[name] for name in _KEY), *both).select_from(joined).subquery("pairs")


def _scores(version: str) -> Any:
    """Return what a version says, as shadow or as the model that served; where it was both, it says the same."""
    shadow = select(*_columns(_SHADOW)).where(_SHADOW.model_version == version)
    twice = select(_SHADOW.transcript_id).where(
        _SHADOW.model_version == version, *(_SHADOW[name] == _STORED[name] for name in _KEY)
    )
    served = select(*_columns(_STORED)).where(
        _STORED.model_version == version, _STORED[EMOTIONS[0]].is_not(None), ~twice.exists()
    )
    return union_all(shadow, served)


def _columns(table: Any) -> list[ColumnElement[Any]]:
    return [table[name] for name in (*_KEY, "convention", "emotions", *EMOTIONS)]


def _conventions(pairs: Subquery) -> Iterator[Label[Any]]:
    """Yield the conventions that each model followed, in the order of their names."""
    for side in "ab":
        yield func.array_agg(pairs.c[f"{side}_convention"].distinct()).label(f"conventions_{side}")


def _differences(pairs: Subquery, emotion: str) -> Iterator[Label[Any]]:
    """Yield the rates of both, their agreement, and the mean absolute difference of their probabilities."""
    by_a, by_b = _assigned(pairs, emotion)
    for name, holds in (("rate_a", by_a), ("rate_b", by_b), ("agreement", by_a == by_b)):
        yield func.avg(cast(holds, Integer)).label(f"{emotion}_{name}")
    yield func.avg(func.abs(pairs.c[f"a_{emotion}"] - pairs.c[f"b_{emotion}"])).label(f"{emotion}_difference")


def _verdicts(pairs: Subquery, labels: Subquery, emotion: str) -> Iterator[Label[Any]]:
    """Yield how many labels speak of an emotion and how many see it; which of these each model assigns, and hits."""
    speaks, sees = _holds(labels.c.annotated, emotion), _holds(labels.c.emotions, emotion)
    yield func.count().filter(speaks).label(f"{emotion}_labels")
    yield func.count().filter(speaks, sees).label(f"{emotion}_present")
    for side, assigned in zip("ab", _assigned(pairs, emotion), strict=True):
        yield func.count().filter(speaks, assigned).label(f"{emotion}_assigned_{side}")
        yield func.count().filter(speaks, assigned, sees).label(f"{emotion}_hits_{side}")


def _assigned(pairs: Subquery, emotion: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _holds(pairs.c.a_emotions, emotion), _holds(pairs.c.b_emotions, emotion)


def _holds(array: ColumnElement[Any], emotion: str) -> ColumnElement[bool]:
    return literal(emotion) == any_(array)


def _pair(emotion: str, found: Mapping[str, Any]) -> EmotionPair:
    def f1(side: str) -> float | None:
        marked = found[f"{emotion}_assigned_{side}"] + found[f"{emotion}_present"]
        return 2 * found[f"{emotion}_hits_{side}"] / marked if marked else None

    shares = {name: float(found[f"{emotion}_{name}"]) for name in ("rate_a", "rate_b", "agreement", "difference")}
    return EmotionPair(emotion, **shares, labels=found[f"{emotion}_labels"], f1_a=f1("a"), f1_b=f1("b"))

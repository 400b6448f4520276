"""What must stand in the database and in the dead letters, as the log in Kafka has it, against what does."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fakes import POISON, scores_of
from publisher import REPAIRED

from schemas.emotions import EMOTIONS

_SHOWN: Final = 10
_PREFIX: Final = "__connect.errors."

Place = tuple[int, int]
"""A partition and an offset in it."""

Identity = tuple[str | None, str] | Place
"""A transcript's source and id, or its place where it has no id."""


class Expected(NamedTuple):
    """What a log of messages means.

    Attributes:
        texts: the text of each transcript: where it was sent several times, that of the newest. A call has one for
            each segment.
        places: where the log holds each transcript.
        bad: the places of messages that hold none.
        unrepaired: the ids whose poisoned message was never replayed in its repaired form.
    """

    texts: dict[Identity, str]
    places: dict[Identity, list[Place]]
    bad: set[Place]
    unrepaired: set[str]


def read_log(log: Iterable[Any]) -> Expected:
    """Say what a log's records mean, by rules of this trial's own."""
    expected = Expected({}, {}, set(), set())
    newest: dict[Identity, tuple[int, int]] = {}
    spoken: dict[Identity, list[str]] = {}
    places: dict[Identity, list[Place]] = {}
    poisoned, repaired = set(), set()
    for record in log:
        place = _first_place(record)
        message = _transcript(record.value)
        if record.value is None:
            continue  # A tombstone neither becomes a row nor a dead letter.
        if message is None or POISON in message["text"].split():
            expected.bad.add(place)
            if message:
                poisoned.add(message["id"])
        else:
            if REPAIRED in message["text"].split():
                repaired.add(message["id"])
            identity: Identity = (message.get("source"), message["id"]) if "id" in message else place
            places.setdefault(identity, []).append(place)
            age = (record.timestamp, record.offset)
            if age >= newest.get(identity, age):
                newest[identity] = age
                segments = message.get("segments")
                spoken[identity] = [each["text"] for each in segments] if segments else [message["text"]]
    for identity, texts in spoken.items():
        for number, text in enumerate(texts, 1):
            part: Identity = identity if number == 1 else (identity[0], f"{identity[1]}#{number:04}")  # type: ignore[assignment]
            expected.texts[part], expected.places[part] = text, places[identity]
    expected.unrepaired.update(poisoned - repaired)
    return expected


def _first_place(record: Any) -> Place:
    """Return where a message was first: that of a replayed dead letter is said by a header."""
    said = dict(record.headers).get("asr-emotions.replay-of")
    if said is None:
        return record.partition, record.offset
    _, partition, offset, _ = said.decode().split("/")
    return int(partition), int(offset)


def _transcript(value: bytes | None) -> dict[str, Any] | None:
    try:
        message = json.loads(value or b"")
    except ValueError:
        return None
    good = isinstance(message, dict) and isinstance(message.get("text"), str)
    return message if good else None


def faults(
    expected: Expected, rows: Iterable[Mapping[str, Any]], letters: Iterable[Any], versions: set[str]
) -> Iterator[str]:
    """Yield a line for each kind of fault, with the first few instances.

    Args:
        expected: what the log means.
        rows: of emotion_results.
        letters: records of the dead-letter topic.
        versions: the models that may have scored.
    """
    found: dict[Identity, list[Mapping[str, Any]]] = {}
    for row in rows:
        place = (row["kafka_partition"], row["kafka_offset"])
        source = row["source"] if row["source"] != row["kafka_topic"] else None  # The topic, where none was said.
        name = (source, row["transcript_id"])
        found.setdefault(name if name in expected.texts else place, []).append(row)
    missing = [f"{expected.places[each]} {text}" for each, text in expected.texts.items() if each not in found]
    yield from _line("rows are missing", missing)
    yield from _line("transcripts have several rows", [str(each) for each, its in found.items() if len(its) > 1])
    yield from _line("rows are of no transcript", [str(each) for each in found if each not in expected.texts])
    known = [(row, expected.texts[each]) for each, its in found.items() if each in expected.texts for row in its]
    yield from _line(
        "rows have another text", [f"{row['text']} for {text}" for row, text in known if row["text"] != text]
    )
    yield from _line("rows have scores of another text", [row["text"] for row, _ in known if not _own_scores(row)])
    strange = [row["model_version"] for row, _ in known if row["model_version"] not in versions]
    yield from _line("rows name another model", strange)
    buried = {_origin(letter) for letter in letters if "asr-emotions.replayed" not in dict(letter.headers)}
    yield from _line("bad messages are not in the dead letters", sorted(map(str, expected.bad - buried)))
    good = buried - expected.bad
    yield from _line("good messages are in the dead letters", sorted(map(str, good)))
    yield from _line("dead letters were not replayed", sorted(expected.unrepaired))


def _own_scores(row: Mapping[str, Any]) -> bool:
    scores = dict(zip(EMOTIONS, scores_of(row["text"]), strict=True))
    near = all(abs(row[emotion] - score) < 1e-6 for emotion, score in scores.items())
    return near and set(row["emotions"]) == {emotion for emotion, score in scores.items() if score >= 0.5}


def _origin(letter: Any) -> Place:
    said = {name.removeprefix(_PREFIX): value for name, value in letter.headers}
    return int(said["partition"]), int(said["offset"])


def _line(what: str, instances: list[str]) -> Iterator[str]:
    if instances:
        yield f"{len(instances)} {what}: {'; '.join(instances[:_SHOWN])}"

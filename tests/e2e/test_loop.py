"""The learning loop by the installed commands, while messages flow; `make demo-loop` is the same, larger."""

import csv
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path

import pytest
from bundles import WORDS, make_bundle
from services import create_topic, dead_letters_of, wait_for
from sqlalchemy import create_engine

from examples.loop.commands import Commands, Stream
from examples.loop.results import Kept, Results
from schemas.emotions import EMOTIONS

# So much that a tiny untrained network learns, and surely gains, in seconds; latency is not the subject here.
SETTINGS = [
    "learning.learning_rate=2e-3", "learning.batch_size=8", "learning.epochs.other=40", "gate.growth=100",
    "min_labels=100",
]  # fmt: skip

SAID = dict(zip(EMOTIONS, WORDS[-7:], strict=True))
"""The word by which the network is to know each emotion."""


@pytest.fixture
def results(postgres_url: str) -> Iterator[Results]:
    engine = create_engine(postgres_url)
    yield Results(engine)
    engine.dispose()


@pytest.fixture
def commands(kafka: str, postgres_url: str, tmp_path: Path) -> Commands:
    topic = create_topic(kafka, partitions=2)
    settings = {
        "WORKER_KAFKA_TOPIC": topic,
        "WORKER_KAFKA_GROUP_ID": f"group-of-{topic}",
        "WORKER_KAFKA_DEAD_LETTER_TOPIC": dead_letters_of(topic),
    }
    return Commands(kafka, postgres_url, tmp_path, tmp_path, **settings)


def write_labels(file: Path) -> None:
    texts = islice(combinations(WORDS[1:13], 3), 210)
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(("text", "emotions"))
        for at, around in enumerate(texts):
            emotion = EMOTIONS[at % len(EMOTIONS)]
            rows.writerow((" ".join([*around, SAID[emotion]]), emotion))


def latest_of_each_partition(results: Results) -> set[str]:
    """Return the versions that served last, of all partitions."""
    return set({stretch.partition: stretch.version for stretch in results.stretches()}.values())


def test_no_message_is_lost_or_doubled_through_retraining_promotion_swap_and_rollback(
    commands: Commands, results: Results, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "made", version="first", created_at="2026-01-01T00:00:00Z")
    write_labels(tmp_path / "labels.csv")
    commands.run("emotion-training", "models", "register", bundle)
    commands.run("emotion-training", "models", "promote", "first")
    worker = commands.running("emotion-worker", "run")
    publisher = commands.running("emotion-worker", "publish", "-", stdin=subprocess.PIPE)
    with worker as serving, publisher as publishing:
        stream = Stream(publishing, [(word, "calls", "customer") for word in WORDS], per_second=50)
        wait_for(lambda: results.kept().rows or serving.ended(), "the first rows")
        said = commands.run("emotion-training", "labels", "import", "labels.csv", "--strict")
        assert "210 labels new" in said

        with commands.running("emotion-training", "retrain", "--set", *SETTINGS) as retraining:
            wait_for(retraining.ended, "the retraining")
        run = results.run()
        assert run["state"] == "promoted", retraining.log.read_text()
        second = run["model_version"]
        # A session's messages are all in one partition: a hundred may be in one alone.
        wait_for(lambda: latest_of_each_partition(results) == {second}, "rows of the new champion in both partitions")

        assert "first is the champion again" in commands.run("emotion-training", "models", "rollback")
        wait_for(lambda: latest_of_each_partition(results) == {"first"}, "rows of the old champion in both partitions")
        stream.close()
        wait_for(lambda: results.stored() >= stream.published, "the last messages")
        assert not serving.ended()

    assert results.kept() == Kept(rows=stream.published, messages=stream.published)
    served = defaultdict(list)
    for stretch in results.stretches():
        served[stretch.partition].append(stretch.version)
    assert dict(served) == {partition: ["first", second, "first"] for partition in (0, 1)}

"""A candidate scores a share of what is stored, and nothing that happens to it touches the flow."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bundles import TEXTS, make_bundle
from chunks import TOPIC, chunk_of, message
from fakes import POISON, StubClassifier, scores_of
from flow import Flow
from probe import Probe
from services import PATIENCE_S, Postgres, engine_fixture, wait_for
from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from structlog.testing import capture_logs

from registry.versions import ModelVersion
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, model_versions, shadow_results
from worker.errors import loggable_text
from worker.inference.assign import Scored
from worker.inference.classifier import EmotionClassifier
from worker.observability.metrics import Metrics
from worker.records import Chunk, Classifier
from worker.run import load_version
from worker.settings import Settings
from worker.storage.database import connect, database_problems
from worker.storage.scores import ShadowStore
from worker.swap.shadow import Shadow, is_sampled

POLL_S = 0.1


engine = engine_fixture(connect, "test")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def register(engine: Engine, version: str, location: str = "nowhere", day: int = 1) -> None:
    row = {"location": location, "metrics": {}, "data_fingerprint": "none", "base_model": "none"}
    made = {"version": version, "state": "candidate", "created_at": f"2026-01-{day:02}T00:00:00Z"}
    with engine.begin() as connection:
        connection.execute(model_versions.insert().values(row | made))


def settle(engine: Engine, version: str, state: str) -> None:
    with engine.begin() as connection:
        connection.execute(update(model_versions).where(model_versions.c.version == version).values(state=state))


def shadowed(engine: Engine, version: str) -> dict[str, Any]:
    query = select(shadow_results).where(shadow_results.c.model_version == version)
    with engine.connect() as connection:
        return {row.transcript_id: row for row in connection.execute(query)}


def counted(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("emotion_shadow_records_total", {"outcome": outcome}) or 0.0


def failures(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("emotion_shadow_failures_total") or 0.0


def stored(*names: str, text: str = "фраза", version: str = "old") -> Chunk:
    chunk = chunk_of(message(at, f"{text} {name}", id=name) for at, name in enumerate(names))
    chunk.model_version = version
    return chunk


class Stub(StubClassifier):
    def __init__(self, row: ModelVersion) -> None:
        super().__init__()
        self.version = row.version


class StoreOfStored(ShadowStore):
    """Finds the rows of what it is given in the table, as after the flow's own transaction."""

    def write(self, model_version: str, convention: str, scored: Sequence[Scored]) -> None:
        made = {"text": "", "emotions": [], "model_version": "old", "normalizer": "0", "kafka_topic": TOPIC}
        made |= {"kafka_partition": 0, "kafka_offset": 0}
        rows = [each.identity._asdict() | made for each in scored]
        with database_problems(), self._engine.begin() as connection:
            connection.execute(insert(emotion_results).on_conflict_do_nothing(), rows)
        super().write(model_version, convention, scored)


def offer(shadow: Shadow, chunk: Chunk) -> None:
    """Offer a chunk once the shadow has a candidate."""
    wait_for(lambda: shadow._classifier, "a candidate")
    shadow.offer(chunk)


@pytest.fixture
def start(engine: Engine, metrics: Metrics) -> Iterator[Any]:
    """Starts shadows that score everything with a stub, unless told otherwise."""
    started = []

    def begin(load: Any = Stub, share: float = 1.0, own: Engine = engine) -> Shadow:
        shadow = Shadow(StoreOfStored(own), load, share, metrics, POLL_S)
        started.append(shadow)
        shadow.start()
        return shadow

    yield begin
    for shadow in started:
        shadow.close(PATIENCE_S)


def test_a_candidate_scores_what_is_stored_as_it_would_in_service(
    engine: Engine, start: Any, tmp_path: Path, metrics: Metrics
) -> None:
    folder = make_bundle(tmp_path, version="candidate-1")
    register(engine, "candidate-1", folder)
    shadow = start(partial(load_version, Settings(device="cpu"), None))
    chunk = chunk_of(message(at, text, id=str(at)) for at, text in enumerate([*TEXTS[:5], "   "]))
    offer(shadow, chunk)
    wait_for(lambda: counted(metrics, "scored") == 5, "five texts")
    rows = shadowed(engine, "candidate-1")
    assert set(rows) == set("01234")  # An empty text has no scores.
    served = EmotionClassifier(folder, "cpu")
    for at, scores in enumerate(served.classify([item.text for item in chunk.utterances[:5]])):
        row = rows[str(at)]
        # Within bfloat16: each load chooses the faster precision.
        assert [getattr(row, name) for name in EMOTIONS] == pytest.approx(scores.tolist(), abs=0.02)
        assert row.emotions == [name for name in EMOTIONS if getattr(row, name) >= 0.5]


def test_a_transcript_that_comes_again_is_scored_again_in_its_row(engine: Engine, start: Any, metrics: Metrics) -> None:
    register(engine, "new")
    shadow = start()
    offer(shadow, stored("1", "1", text="сначала"))
    wait_for(lambda: counted(metrics, "scored") == 2, what="the first text")
    shadow.offer(stored("1", text="потом"))
    wait_for(lambda: counted(metrics, "scored") == 3, what="the second text")
    ((name, row),) = shadowed(engine, "new").items()
    assert name == "1"
    assert [getattr(row, emotion) for emotion in EMOTIONS] == pytest.approx(scores_of("потом 1"))


def test_only_the_share_is_scored(engine: Engine, start: Any, metrics: Metrics) -> None:
    register(engine, "new")
    names = [str(number) for number in range(100)]
    wanted = {name for name in names if is_sampled(name, 0.3)}
    offer(start(share=0.3), stored(*names))
    wait_for(lambda: counted(metrics, "scored") == len(wanted), what="the share")
    assert set(shadowed(engine, "new")) == wanted


def test_candidates_come_and_go_and_the_newest_counts(engine: Engine, start: Any) -> None:
    shadow = start()
    shadow.offer(stored("before"))  # Nobody is there to score it.
    register(engine, "first", day=1)
    offer(shadow, stored("1"))
    wait_for(lambda: "1" in shadowed(engine, "first"), what="the first candidate")
    register(engine, "second", day=2)
    wait_for(lambda: shadow._classifier.version == "second", what="the second candidate")
    shadow.offer(stored("2"))
    wait_for(lambda: "2" in shadowed(engine, "second"), what="the second candidate's scores")
    settle(engine, "second", "champion")
    wait_for(lambda: shadow._classifier.version == "first", what="the candidate that is left")
    settle(engine, "first", "rejected")
    wait_for(lambda: shadow._classifier is None, what="no candidate")
    assert set(shadowed(engine, "first")) == {"1"}
    assert set(shadowed(engine, "second")) == {"2"}


def test_what_the_candidate_itself_has_classified_is_not_scored_twice(
    engine: Engine, start: Any, metrics: Metrics
) -> None:
    register(engine, "new")
    shadow = start()
    offer(shadow, stored("1", version="new"))
    shadow.offer(stored("2"))
    wait_for(lambda: counted(metrics, "scored"), what="the other model's transcript")
    assert set(shadowed(engine, "new")) == {"2"}
    assert counted(metrics, "scored") == 1


def test_a_text_that_the_candidate_rejects_costs_no_other_its_scores(
    engine: Engine, start: Any, metrics: Metrics
) -> None:
    register(engine, "new")
    chunk = stored("1", "2", "3", "4", "5")
    chunk.utterances[2].text = f"это {POISON}"
    with capture_logs() as logs:
        shadow = start()
        offer(shadow, chunk)
        wait_for(lambda: counted(metrics, "failed"), what="the bad text")
    assert set(shadowed(engine, "new")) == {"1", "2", "4", "5"}
    assert (counted(metrics, "failed"), counted(metrics, "scored"), failures(metrics)) == (1, 4, 1)
    (told,) = (line for line in logs if line["log_level"] == "warning")
    assert (told["model_version"], told["transcript_id"]) == ("new", "3")


@pytest.mark.parametrize("error", [RuntimeError("weights of another network"), MemoryError()])
def test_a_candidate_that_cannot_be_loaded_is_told_of_once_and_the_next_one_is_taken(
    engine: Engine, start: Any, metrics: Metrics, error: Exception
) -> None:
    def load(row: ModelVersion) -> Classifier:
        if row.version == "broken":
            raise error
        return Stub(row)

    register(engine, "broken", day=1)
    with capture_logs() as logs:
        shadow = start(load)
        wait_for(lambda: failures(metrics) >= 3, what="three tries")
    (told,) = (line for line in logs if line["log_level"] == "warning")
    assert (told["model_version"], told["error"]) == ("broken", loggable_text(error))
    register(engine, "whole", day=2)
    offer(shadow, stored("1"))
    wait_for(lambda: shadowed(engine, "whole"), what="the candidate that is whole")


def test_an_outage_of_postgres_costs_the_sample_a_few_rows_and_nothing_else(
    own_postgres: Postgres, start: Any, metrics: Metrics
) -> None:
    engine = connect(own_postgres.url(), "test")
    register(engine, "new")
    shadow = start(own=engine)
    offer(shadow, stored("1"))
    wait_for(lambda: shadowed(engine, "new"), what="the first row")
    own_postgres.stop()
    shadow.offer(stored("2"))
    wait_for(lambda: failures(metrics), what="the outage")
    own_postgres.start()

    def again() -> bool:
        shadow.offer(stored("3"))
        return "3" in shadowed(engine, "new")

    wait_for(again, what="rows after the outage")
    shadow.close(PATIENCE_S)
    engine.dispose()


def test_a_worker_scores_its_share_with_the_registrys_candidate(flow: Flow, tmp_path: Path) -> None:
    """The whole of it: Kafka, Postgres, a worker in a process of its own, a bundle from the registry."""
    folder = make_bundle(tmp_path / "bundle", version="candidate-1")
    engine = connect(flow.url, "test")
    register(engine, "candidate-1", folder)
    shadow = {"WORKER_SHADOW": "candidate", "WORKER_SHADOW_SHARE": "0.5", "WORKER_DEVICE": "cpu"}
    # One chunk or two, which are stored whole, so that none finds the queue full.
    whole = {"WORKER_MAX_RECORDS": "100", "WORKER_MAX_WAIT_MS": "5000", "WORKER_DATABASE_CONNECTIONS": "1"}
    worker = flow.start(**shadow, **whole)
    # A thread of the lowest priority imports torch.
    wait_for(lambda: worker.said("the shadow scores with a candidate"), "the candidate")
    flow.publish(100)
    flow.wait_for_rows(100)
    wanted = {row["transcript_id"] for row in flow.rows() if is_sampled(row["transcript_id"], 0.5)}
    wait_for(lambda: set(shadowed(engine, "candidate-1")) == wanted, "the share")
    probe = Probe(worker)
    # They are counted after they are stored.
    wait_for(lambda: probe.metrics()["emotion_shadow_records_total", "scored"] == len(wanted), "the count")
    assert {row["model_version"] for row in flow.rows()} == {"stub-1"}
    assert worker.stop() == 0
    engine.dispose()

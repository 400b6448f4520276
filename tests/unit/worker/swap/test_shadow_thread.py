"""Which transcripts the shadow takes, what it leaves out, and how long it rests."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from chunks import chunk_of, message
from fakes import StubClassifier
from services import PATIENCE_S, wait_for

from registry.versions import ModelVersion
from worker.errors import ConfigurationError
from worker.inference.assign import Scored
from worker.observability.metrics import Metrics
from worker.records import Chunk
from worker.swap.shadow import Shadow, is_sampled

POLL_S = 0.1


class Store:
    """Always the same candidate; keeps what it is given."""

    def __init__(self) -> None:
        self.written: dict[str, Scored] = {}

    def candidate(self) -> ModelVersion:
        return ModelVersion("new", "candidate", "nowhere", {}, "none", "none", datetime(2026, 1, 1, tzinfo=UTC), None)

    def write(self, _model_version: str, _convention: str, scored: Sequence[Scored]) -> None:
        self.written |= {item.identity.transcript_id: item for item in scored}


@pytest.fixture
def store() -> Store:
    return Store()


def stored(*names: str) -> Chunk:
    return chunk_of(message(at, f"фраза {name}", id=name) for at, name in enumerate(names))


def shadow_of(store: Store, classifier: StubClassifier, metrics: Metrics) -> Shadow:
    return Shadow(store, lambda _: classifier, 1.0, metrics, POLL_S)  # type: ignore[arg-type]  # A fake.


def offer(shadow: Shadow, chunk: Chunk) -> None:
    """Offer a chunk once the shadow has a candidate."""
    wait_for(lambda: shadow._classifier, what="the candidate")
    shadow.offer(chunk)


def test_all_workers_choose_the_same_share_and_a_larger_one_holds_it() -> None:
    names = [f"id-{number}" for number in range(5_000)]
    tenth, half = ([name for name in names if is_sampled(name, share)] for share in (0.1, 0.5))
    assert set(tenth) < set(half)
    assert len(tenth) / len(names) == pytest.approx(0.1, abs=0.02)
    assert len(half) / len(names) == pytest.approx(0.5, abs=0.03)
    assert [name for name in names if is_sampled(name, 1)] == names
    assert not any(is_sampled(name, 0) for name in names)


def test_a_full_queue_drops_at_once_and_counts(store: Store) -> None:
    release = Event()

    class Stuck(StubClassifier):
        def classify(self, texts: list[str]) -> Any:
            release.wait(PATIENCE_S)
            return super().classify(texts)

    metrics = Metrics()
    shadow = shadow_of(store, Stuck(), metrics)
    shadow.start()
    offer(shadow, stored("first"))
    wait_for(shadow._offers.empty, what="the chunk in hand")
    for name in ("second", "third", "fourth", "fifth"):
        shadow.offer(stored(name))
    assert metrics.registry.get_sample_value("emotion_shadow_records_total", {"outcome": "dropped"}) == 2
    release.set()
    wait_for(lambda: len(store.written) == 3, what="what was not dropped")
    shadow.close(PATIENCE_S)
    assert set(store.written) == {"first", "second", "third"}


def test_what_was_said_in_another_language_is_not_offered(store: Store) -> None:
    class Kazakh(StubClassifier):
        language = "kk"

    for classifier, expected in ((StubClassifier(), ["фраза ru"]), (Kazakh(), ["фраза kk"])):
        shadow = shadow_of(store, classifier, Metrics())
        shadow._classifier = classifier
        shadow.offer(chunk_of(message(at, f"фраза {tag}", language=tag) for at, tag in enumerate(("ru", "kk", "en"))))
        (offered,) = shadow._offers.queue
        assert offered is not None
        assert [said for _, said in offered.texts] == expected


def test_of_a_chunk_that_waits_for_the_shadow_no_record_is_kept(store: Store) -> None:
    shadow = shadow_of(store, StubClassifier(), Metrics())
    shadow._classifier = StubClassifier()
    chunk = stored("1")
    record = chunk.utterances[0].record
    references = sys.getrefcount(record)
    shadow.offer(chunk)
    del chunk
    assert not shadow._offers.empty()
    assert sys.getrefcount(record) == references - 1


def test_after_each_piece_it_rests_so_long_that_the_flow_keeps_nine_tenths(store: Store) -> None:
    rests: list[float] = []

    class Watched(Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            return self.is_set()

    class Slow(StubClassifier):
        def classify(self, texts: list[str]) -> Any:
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return super().classify(texts)

    classifier = Slow()
    shadow = shadow_of(store, classifier, Metrics())
    shadow._stopping = Watched()
    shadow.start()
    offer(shadow, stored(*map(str, range(20))))
    wait_for(lambda: len(store.written) == 20, what="twenty texts")
    shadow.close(PATIENCE_S)
    assert len(rests) == classifier.calls
    assert min(rests) >= 9 * 0.02


def test_a_candidate_that_is_broken_is_not_downloaded_at_each_look(store: Store) -> None:
    """One of a wrong checksum is downloaded as a whole before it is refused, and not kept."""
    loads: list[str] = []

    def load(row: ModelVersion) -> StubClassifier:
        loads.append(row.version)
        raise ConfigurationError("another checksum")

    shadow = Shadow(store, load, 1.0, Metrics(), poll_s=3600)  # type: ignore[arg-type]  # A fake.
    with pytest.raises(ConfigurationError):
        shadow._look()
    for _ in range(3):
        shadow._look_due = 0.0
        shadow._look()
    assert loads == ["new"]


def test_a_storage_that_it_stands_behind_gives_what_it_gave_before(store: Store) -> None:
    shadow = shadow_of(store, StubClassifier(), Metrics())
    shadow.start()
    wait_for(lambda: shadow._classifier, what="the candidate")
    storage = shadow.after(lambda work: work)  # type: ignore[arg-type,return-value]  # Claims pass as they are.
    chunk = stored("1")
    assert storage(chunk) is chunk
    assert storage(()) == ()
    wait_for(lambda: store.written, what="the chunk's text")
    shadow.close(PATIENCE_S)

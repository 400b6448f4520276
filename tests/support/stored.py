"""Records stored as a storage thread stores them, without Kafka."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from chunks import Message, chunk_of
from fakes import StubClassifier
from sqlalchemy import Engine

from worker.claims import Claim
from worker.inference.model_slot import Serving
from worker.observability.metrics import Metrics
from worker.records import Chunk, Partition, Rejected
from worker.stages import Inference
from worker.storage.store import ResultStore

Store = Callable[..., Chunk]


def stored_fixture() -> Any:
    """Make a fixture that stores records in the database of the fixture `engine`."""

    @pytest.fixture
    def stored(engine: Engine) -> Store:
        """Stores records, each call in a chunk of its own, under the first claims of their partitions."""

        def store(
            *records: Message,
            delete: bool = False,
            group: str = "group",
            meanwhile: Callable[[], None] = lambda: None,
        ) -> Chunk:
            buried: list[Rejected] = []

            def bury(rejected: Sequence[Rejected]) -> None:
                buried.extend(rejected)
                meanwhile()

            keeper = ResultStore(engine, group, normalizer="n-1", delete=delete)
            partitions = {Partition(record.topic, record.partition) for record in records}
            claimed = keeper.claim([Claim(partition, 0, None) for partition in partitions])
            chunk = chunk_of(records, {answer.claim.partition: answer.epoch for answer in claimed})
            chunk.expected = {answer.claim.partition: answer.next_offset for answer in claimed}
            Inference(Serving(StubClassifier()), Metrics(), None)(chunk)
            keeper.write(chunk, bury)
            assert chunk.rejected == buried
            return chunk

        return store

    return stored

"""The flow between the shared broker and a database of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flow import Flow


@pytest.fixture
def flow(kafka: str, topic: str, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    flow = Flow(kafka, topic, postgres_url, tmp_path)
    yield flow
    flow.close()

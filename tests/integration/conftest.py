"""The flow between the shared broker and a database of the test's own, of which the worker has its own role."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flow import Flow
from services import as_role

from schemas.access import WORKER


@pytest.fixture
def flow(kafka: str, topic: str, postgres_url: str, tmp_path: Path) -> Iterator[Flow]:
    flow = Flow(kafka, topic, postgres_url, tmp_path)
    flow.settings["WORKER_DATABASE_URL"] = as_role(postgres_url, WORKER)
    yield flow
    flow.close()


# Below, torch and transformers are imported where they are needed: most tests here start without them.


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published files of three small sets."""
    from fits import make_data  # noqa: PLC0415 - see above.

    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder small enough to be fitted."""
    from fits import make_base  # noqa: PLC0415 - see above.

    return make_base(tmp_path_factory.mktemp("base"))

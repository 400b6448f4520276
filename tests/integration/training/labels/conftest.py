"""The database that labels lie in."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from training.database import connect


@pytest.fixture
def engine(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The database, which the commands find too."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", postgres_url)
    engine = connect()
    yield engine
    engine.dispose()

"""The database that labels lie in."""

from collections.abc import Iterator

import pytest
from services import as_role
from sqlalchemy import Engine

from schemas.access import TRAINER
from training.database import connect


@pytest.fixture
def engine(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The database, which the commands find too, by their role."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", as_role(postgres_url, TRAINER))
    engine = connect(postgres_url)
    yield engine
    engine.dispose()

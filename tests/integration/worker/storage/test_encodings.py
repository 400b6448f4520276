"""Databases whose encoding is not UTF-8: what they cannot hold is a dead letter, and what they can is a row."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from chunks import TOPIC, chunk_of, message, tombstone
from services import Postgres
from sqlalchemy import create_engine, text

from registry.errors import ConfigurationError
from registry.postgres import database_problems
from training.database import connect as connect_training
from worker.claims import Claim
from worker.records import Partition, Rejected
from worker.storage.database import connect
from worker.storage.migrate import migrate, require_migrated
from worker.storage.store import ResultStore

SPOKEN = ["ну наконец то дозвонилась", "ёлки палки", "спасибо 😀", "да", "naïve", "до свидания"]


@pytest.fixture
def new_url(session_postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """Makes databases, of an encoding each."""
    names: list[str] = []

    def make(encoding: str) -> str:
        names.append(session_postgres.create_database(encoding=encoding))
        return session_postgres.url(names[-1])

    yield make
    for name in names:
        session_postgres.drop_database(name)


@pytest.mark.parametrize(
    ("encoding", "python"), [("WIN1251", "cp1251"), ("KOI8R", "koi8_r"), ("ISO_8859_5", "iso8859_5")]
)
def test_what_a_databases_encoding_cannot_hold_is_a_dead_letter_and_the_rest_is_stored(
    new_url: Callable[[str], str], encoding: str, python: str
) -> None:
    url = new_url(encoding)
    migrate(url)
    engine = connect(url, "test")
    require_migrated(engine)
    store = ResultStore(engine, "group", normalizer="normalizer-1")
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    buried: list[Rejected] = []

    store.write(chunk_of([message(at, said, id=f"id-{at}") for at, said in enumerate(SPOKEN)]), buried.extend)

    unheld = [at for at, said in enumerate(SPOKEN) if said.encode(python, "replace").decode(python) != said]
    assert [item.record.offset for item in buried] == unheld == [2, 4]
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT text FROM emotion_results ORDER BY kafka_offset")).scalars().all()
        assert connection.scalar(text("SELECT next_offset FROM consumer_offsets")) == len(SPOKEN)
    engine.dispose()
    assert stored == [said for at, said in enumerate(SPOKEN) if at not in unheld]


def test_a_tombstone_whose_key_the_encoding_cannot_hold_is_a_dead_letter_and_the_others_delete(
    new_url: Callable[[str], str],
) -> None:
    url = new_url("WIN1251")
    migrate(url)
    engine = connect(url, "test")
    store = ResultStore(engine, "group", normalizer="normalizer-1", delete=True)
    store.claim([Claim(Partition(TOPIC, 0), 0, None)])
    store.write(chunk_of([message(0, "да", id="gone"), message(1, "нет", id="kept")]), list[Rejected]().extend)
    chunk = chunk_of([tombstone(2, "😀".encode()), tombstone(3, b"gone"), message(4, "да", id="new")])
    buried: list[Rejected] = []

    store.write(chunk, buried.extend)

    assert [item.record.offset for item in buried] == [2]
    assert (chunk.written.deleted, [record.offset for record in chunk.tombstones]) == (1, [3])
    with engine.connect() as connection:
        assert set(connection.scalars(text("SELECT transcript_id FROM emotion_results"))) == {"kept", "new"}
        assert connection.scalar(text("SELECT next_offset FROM consumer_offsets")) == 5
    engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_knows_no_cyrillic_is_refused_in_one_line(new_url: Callable[[str], str], encoding: str) -> None:
    url = new_url(encoding)
    done = subprocess.run(
        [sys.executable, "-c", "from worker.cli import main; main()", "migrate"],
        env={"WORKER_DATABASE_URL": url, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert f"encoding {encoding} has no Cyrillic letters: create one WITH ENCODING 'UTF8'" in line
    engine = create_engine(url, connect_args={"client_encoding": "utf8"})
    with pytest.raises(ConfigurationError, match="no Cyrillic letters"):
        require_migrated(engine)
    engine.dispose()


def test_training_tells_in_one_line_that_a_databases_encoding_lacks_a_character(new_url: Callable[[str], str]) -> None:
    engine = connect_training(new_url("WIN1251"))
    refusal = pytest.raises(ConfigurationError, match="encoding has no such character")
    with refusal as refused, database_problems(), engine.connect() as connection:
        connection.execute(text("SELECT CAST(:said AS text)"), {"said": "спасибо 😀"})
    engine.dispose()
    assert "спасибо" not in f"{refused.value} {refused.value.__cause__}"

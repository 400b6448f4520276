"""Repair messages by a command of the operator's own."""

import subprocess
from collections.abc import Callable


class RepairFailed(Exception):
    """The repair brought no message; its text says why."""


def by_command(command: str) -> Callable[[bytes], bytes]:
    """Return a function that pipes a message through a shell command.

    The function raises `RepairFailed` where the command fails or prints nothing.
    """

    def repair(value: bytes) -> bytes:
        done = subprocess.run(command, shell=True, input=value, capture_output=True, check=False)  # noqa: S602 - the operator's own command, on their own machine.
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it says nothing")
            raise RepairFailed(f"the repair command failed with exit code {done.returncode}: {last.strip()}")
        if not done.stdout.strip():
            raise RepairFailed("the repair command printed nothing")
        return done.stdout.strip()

    return repair

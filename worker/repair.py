"""Repair messages by a command of the operator's own."""

import subprocess
from collections.abc import Callable


def by_command(command: str) -> Callable[[bytes], bytes | None]:
    """Return a function that pipes a message through a shell command; None where it fails or prints nothing."""

    def repair(value: bytes) -> bytes | None:
        done = subprocess.run(command, shell=True, input=value, capture_output=True, check=False)  # noqa: S602 - the operator's own command, on their own machine.
        return done.stdout.strip() or None if done.returncode == 0 else None

    return repair

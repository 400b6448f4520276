"""The worker's log lines, and those of its libraries that an operator is to see."""

import logging

from registry import logs
from worker.errors import loggable_text


def configure_logs(level: str) -> None:
    """Set up the logs of this process; see `registry.logs`."""
    logs.configure_logs(level, loggable_text)
    # The client tells of every reconnect; what matters of it comes up as our own lines. `open_client` lowers the level
    # of one of its loggers to listen, so the level alone would not keep its lines from the root's handler.
    client = logging.getLogger("kafka")
    client.setLevel(logging.CRITICAL)
    client.propagate = False
    client.addHandler(logging.NullHandler())

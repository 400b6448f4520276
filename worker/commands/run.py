"""The command emotion-worker run."""

from worker.commands.settings import load_settings
from worker.run import run_worker


def run() -> None:
    """Read transcripts and write rows."""
    run_worker(load_settings())

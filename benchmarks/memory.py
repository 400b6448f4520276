"""Whether the worker's memory stays flat: resident memory after each 100,000 messages, with a stub for the model.

python benchmarks/memory.py --messages 1000000
"""

import argparse

import msgspec
import numpy as np
from harness import STUB, Services, WorkerProcess, running_worker, services, transcripts
from msgspec import Struct
from rich.console import Console
from rich.table import Table


class Result(Struct):
    """What `--json` prints."""

    every: int
    rss_mb: list[float]
    """Resident memory of the worker after each ``every`` messages."""
    slope_mb: float
    """Growth for each ``every`` messages: least squares, without the first portion, in which caches fill."""


def measure(worker: WorkerProcess, place: Services, messages: int, every: int) -> Result:
    """Publish a portion, wait until it is stored, note the memory, and again."""
    sizes = []
    for start in range(0, messages, every):
        stop = min(messages, start + every)
        place.publish(transcripts(start, stop))
        worker.wait_for_stored(stop)
        sizes.append(round(worker.memory_mb(), 1))
    settled = sizes[1:]
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0
    return Result(every, sizes, round(slope, 3))


def show(result: Result) -> None:
    """Print a table."""
    table = Table("messages", "MB resident", title="memory of the worker")
    for portion, size in enumerate(result.rss_mb, 1):
        table.add_row(f"{portion * result.every:,}", f"{size:.1f}")
    Console().print(table)
    print(f"{result.slope_mb:+.3f} MB for each {result.every:,} messages after the first portion")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with services(partitions=4) as place, running_worker(place, STUB) as worker:
        result = measure(worker, place, given.messages, given.every)
    if given.json:
        print(msgspec.json.encode(result).decode())
    else:
        show(result)


if __name__ == "__main__":
    main()

"""How much memory the worker takes, with a stub for the model.

python benchmarks/memory.py --messages 1000000    whether it stays flat: after each 100,000 messages
python benchmarks/memory.py --locked              the most while the table is locked, with small and large messages
python benchmarks/memory.py --words               the dictionary of words, fed with words that no language has
"""

import argparse
import gc
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from harness import STUB, Services, WorkerProcess, resident_mb, running_worker, services, transcripts
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from worker.inference.tokenizer import Tokens

T = TypeVar("T")

_SIZES: Final = (4_000, 430_000)
"""Bytes of a message: a long utterance, and a recognizer's result with all that it knows of each word."""

_LOCKED_BYTES: Final = 600_000_000
"""How much is published before the worker starts: more than it may hold."""

_LOCKED_S: Final = 30.0
"""How long the table is locked: long enough for all to be read, were nothing to stop the reading."""

_WORDS: Final = 6_000
_LETTERS: Final = 2_000
_TOKENIZER: Final = Path(__file__).parent.parent / "models" / "ru-emotions-small" / "tokenizer.json"


class Result(Struct):
    """What `--json` prints."""

    every: int
    rss_mb: list[float]
    """Resident memory of the worker after each ``every`` messages."""
    slope_mb: float
    """Growth for each ``every`` messages: least squares, without the first portion, in which caches fill."""


class Locked(Struct):
    """What `--locked --json` prints a list of, one for each size of message."""

    message_bytes: int
    messages: int
    idle_mb: float
    """Resident memory before anything is published."""
    locked_mb: float
    """The most while the table is locked."""


class Words(Struct):
    """What `--words --json` prints."""

    words: int
    letters: int
    grown_mb: float


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


def large(count: int, size: int) -> Iterator[bytes]:
    """Yield messages of about ``size`` bytes, nearly all of which are in a field that the worker does not know."""
    filling = "я" * (size // 2)
    for message in transcripts(0, count):
        yield message[:-1] + b',"alternatives":"' + filling.encode() + b'"}'


def measure_locked(size: int, total: int, seconds: float) -> Locked:
    """Lock the table of results, publish, note the most memory, unlock, and wait until all is stored."""
    count = total // size
    with services(partitions=4) as place, running_worker(place, STUB) as worker:
        place.publish(transcripts(0, 1))
        worker.wait_for_stored(1)
        idle = worker.memory_mb()
        with place.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            connection.exec_driver_sql("LOCK TABLE emotion_results IN ACCESS EXCLUSIVE MODE")
            place.publish(large(count, size))
            time.sleep(seconds)
            most = worker.memory_mb("VmHWM")
        worker.wait_for_stored(count + 1)
    return Locked(size, count, round(idle, 1), round(most, 1))


def measure_words() -> Words:
    """Return how much this process grows while its dictionary learns words as long as no text should hold."""
    letters = [chr(code) for code in range(ord("а"), ord("я") + 1)]
    choose = random.Random(0).choices
    tokens = Tokens(Tokenizer.from_file(str(_TOKENIZER)), 128)
    before = resident_mb("self")
    for _ in range(_WORDS):
        tokens(["".join(choose(letters, k=_LETTERS))])
    gc.collect()
    return Words(_WORDS, _LETTERS, round(resident_mb("self") - before, 1))


def show(result: Result) -> None:
    """Print a table."""
    table = Table("messages", "MB resident", title="memory of the worker")
    for portion, size in enumerate(result.rss_mb, 1):
        table.add_row(f"{portion * result.every:,}", f"{size:.1f}")
    Console().print(table)
    print(f"{result.slope_mb:+.3f} MB for each {result.every:,} messages after the first portion")


def show_locked(results: list[Locked]) -> None:
    """Print a table."""
    table = Table("bytes a message", "messages", "MB idle", "MB at most", title="memory while the table is locked")
    for each in results:
        table.add_row(f"{each.message_bytes:,}", f"{each.messages:,}", f"{each.idle_mb:.1f}", f"{each.locked_mb:.1f}")
    Console().print(table)


def show_words(result: Words) -> None:
    """Print a line."""
    print(f"{result.words:,} words of {result.letters:,} letters: {result.grown_mb:+.1f} MB")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000)
    parser.add_argument("--locked", action="store_true")
    parser.add_argument("--locked-bytes", type=int, default=_LOCKED_BYTES)
    parser.add_argument("--locked-seconds", type=float, default=_LOCKED_S)
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.locked:
        locked = [measure_locked(size, given.locked_bytes, given.locked_seconds) for size in _SIZES]
        _print(locked, show_locked, as_json=given.json)
    elif given.words:
        _print(measure_words(), show_words, as_json=given.json)
    else:
        with services(partitions=4) as place, running_worker(place, STUB) as worker:
            result = measure(worker, place, given.messages, given.every)
        _print(result, show, as_json=given.json)


def _print(result: T, show: Callable[[T], None], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        show(result)


if __name__ == "__main__":
    main()

"""Files as damage makes them: bytes changed, cut out, doubled, moved, or taken from another file."""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PIECES: Final = (
    *(character.encode() for character in "\n\0\t\ufeff\u00a0\u2028\"'{}[],:;<>-0"),
    *(b"\n\n", b"\r\n", b"\xff", b"-->", b"00:00:01,000 --> 00:00:02,500", b"WEBVTT\n", b"<html>", b"seg_000"),
    *(b"NaN", b"Infinity", b"null", b"true", b"1e999", b"-1", b"9" * 400, b"\\ud800", b"\\u0000", b"[" * 2_000),
    *(b'"text": ', b'"segments": [', '{"text": "да"}\n'.encode(), b"text,id\n"),
)
"""What is put in: what forms are made of, and what no form expects."""


def mutated(content: bytes, others: list[bytes], random_: random.Random) -> bytes:
    """Return a content with one to four changes."""
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        content = _changed(content, others, random_)
    return content


def _changed(content: bytes, others: list[bytes], random_: random.Random) -> bytes:
    at = random_.randrange(len(content) + 1)
    to = min(len(content), at + random_.choice((1, 1, 1, 3, 20, 200)))
    other = random_.choice(others)
    start = random_.randrange(len(other) + 1)
    return random_.choice(
        (
            lambda: content[:at] + random_.randbytes(1) + content[at + 1 :],
            lambda: content[:at] + content[to:],
            lambda: content[:to] + content[at:],
            lambda: content[:at] + random_.choice(_PIECES) + content[at:],
            lambda: content[:at],
            lambda: content[:at] + other[start : start + random_.choice((5, 50, 500))] + content[to:],
            lambda: _lines_swapped(content, random_),
            lambda: _word_replaced(content, random_),
        )
    )()


def _lines_swapped(content: bytes, random_: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def _word_replaced(content: bytes, random_: random.Random) -> bytes:
    """Replace what stands between two quotation marks: a field that was renamed, a value that is missing."""
    words = content.split(b'"')
    words[random_.randrange(len(words))] = random_.choice((b"", b"other", b"0"))
    return b'"'.join(words)


def samples(folder: Path) -> list[bytes]:
    """Return the contents of a folder's files, in the order of their names."""
    return [file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()]


def fuzz_by_command(fuzz: Callable[[int, int], tuple[int, int]], description: str | None) -> None:
    """Fuzz as the command line says, and print the outcome.

    Args:
        fuzz: Takes a number of files and a random seed; returns how many were read and how many were refused.
        description: Text of the command's help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    print(f"seed {seed}", flush=True)  # noqa: T201 - the command's answer.
    start = time.monotonic()
    was_read, refused = fuzz(options.count, seed)
    print(f"{was_read} read, {refused} refused, {time.monotonic() - start:.0f} s")  # noqa: T201 - the command's answer.

"""Damages batches in the log of a broker, as a failing disk or a faulty producer does."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from kafka.record.util import calc_crc32c

# Where a batch has its fields. Source: Kafka's documentation, Record Batch.
LENGTH_AT: Final = 8
FORMAT_AT: Final = 16
CRC_AT: Final = 17
ATTRIBUTES_AT: Final = 21
RECORDS_AT: Final = 61

PLAIN: Final = 0
GZIP: Final = 1
ZSTD: Final = 4
UNKNOWN_CODEC: Final = 7


def flip_a_bit(batch: bytearray) -> None:
    """Leave the checksum as it was, so that it is wrong."""
    batch[-1] ^= 1


def claim_another_format(batch: bytearray) -> None:
    batch[FORMAT_AT] = 3


def claim_an_old_format(batch: bytearray, codec: int) -> None:
    """Have the broker take the batch for one of the oldest format, whose codec stands where now the checksum begins."""
    batch[FORMAT_AT] = 0
    batch[CRC_AT] = codec


def claim_an_unknown_codec(batch: bytearray) -> None:
    batch[ATTRIBUTES_AT + 1] |= UNKNOWN_CODEC
    sign(batch)


def claim_to_be_compressed(batch: bytearray) -> None:
    batch[ATTRIBUTES_AT + 1] |= GZIP
    sign(batch)


def break_the_third_record(batch: bytearray) -> None:
    """Leave two records of a batch whole; all are to be of the same length."""
    length = batch[RECORDS_AT] // 2 + 1
    batch[RECORDS_AT + 2 * length] = 0x7E
    sign(batch)


def sign(batch: bytearray) -> None:
    """Make the checksum right."""
    struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))


def damage(segment: Path, base_offset: int, how: Callable[[bytearray], None]) -> None:
    """Change the batch of a segment that begins at an offset."""
    log = bytearray(segment.read_bytes())
    for place in _batches(log):
        if int.from_bytes(log[place.start : place.start + LENGTH_AT]) == base_offset:
            batch = log[place]
            how(batch)
            log[place] = batch
            segment.write_bytes(log)
            return
    raise AssertionError(f"no batch of {segment} begins at {base_offset}")


def _batches(log: bytearray) -> Iterator[slice]:
    at = 0
    while at < len(log):
        (length,) = struct.unpack_from(">i", log, at + LENGTH_AT)
        yield slice(at, at + FORMAT_AT - 4 + length)
        at += FORMAT_AT - 4 + length

"""What is mended in the Kafka client: that it is there to be mended, and what batches that cannot be read say."""

import struct
from typing import Any

import pytest
from damage import RECORDS_AT, flip_a_bit
from kafka import TopicPartition, errors
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from worker.errors import ConfigurationError
from worker.kafka import patches
from worker.kafka.unreadable import HeaderName, UnreadableBatch

PLACE = TopicPartition("transcripts", 0)


def test_a_client_without_the_place_that_is_mended_stops_the_worker_at_once() -> None:
    class Fetcher:
        """Of a release that is yet to come."""

    told = r"^kafka-python 3\.\S+ has no .*Fetcher\._parse_fetched_data, .* Install kafka-python==3\.0\.12$"
    with pytest.raises(ConfigurationError, match=told):
        patches.patch_method(Fetcher, "_parse_fetched_data", lambda method: method)


def batch(base_offset: int, count: int = 10, *, headers: tuple[tuple[str, bytes], ...] = ()) -> bytearray:
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=10_000)
    for _ in range(count):
        builder.append(timestamp=0, key=None, value=b"{}", headers=list(headers))
    builder.close()
    made = bytearray(builder.buffer())
    struct.pack_into(">q", made, 0, base_offset)
    return made


def damaged(base_offset: int) -> bytearray:
    made = batch(base_offset)
    flip_a_bit(made)
    return made


def part_of(log: bytes, *, fetch_offset: int = 0, known_end: int = 100) -> Any:
    part = Fetcher.PartitionRecords(fetch_offset, PLACE, MemoryRecords(log))
    part.known_end = known_end
    return part


def unreadable(log: bytes, **options: int) -> UnreadableBatch:
    part = part_of(log, **options)
    with pytest.raises(UnreadableBatch) as raised:
        part.take()
    assert not part, "the answer is not looked at again"
    return raised.value


@pytest.mark.parametrize(
    ("log", "go_on_at"),
    [
        (damaged(0) + batch(10), 10),
        (damaged(0) + batch(15), 15),
        (damaged(0) + batch(10)[:20], 10),
        (damaged(0), 10),
        (damaged(0) + batch(10)[:7], 10),
        (damaged(0) + batch(1_000), 10),
        (damaged(0)[:8] + b"\0\0\0\2xx", None),
    ],
    ids=["another", "a gap", "cut", "last", "hardly begun", "nonsense", "too short"],
)
def test_where_to_go_on_is_where_the_next_batch_begins_or_what_the_batch_says_itself(
    log: bytes, go_on_at: int | None
) -> None:
    error = unreadable(log)
    assert (error.partition, error.offset, error.go_on_at) == (PLACE, 0, go_on_at)


def test_an_offset_past_the_end_of_the_log_is_not_believed() -> None:
    assert unreadable(damaged(0), known_end=9).go_on_at is None


def test_records_before_the_offset_that_was_asked_for_do_not_count() -> None:
    log = batch(0)
    log[RECORDS_AT + 4 * 9] = 0x7E  # The fifth record.
    part = Fetcher.PartitionRecords(7, PLACE, MemoryRecords(log), check_crcs=False)
    part.known_end = 100
    with pytest.raises(UnreadableBatch) as raised:
        part.take()
    assert (raised.value.offset, raised.value.go_on_at) == (7, 10)


@pytest.mark.parametrize(
    "error", [MemoryError(), errors.UnsupportedCodecError("Libraries for snappy compression codec not found")]
)
def test_what_is_not_the_fault_of_a_batch_is_no_reason_to_pass_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("kafka.record.default_records.DefaultRecordBatch._maybe_uncompress", fail)
    part = part_of(batch(0))
    with pytest.raises(type(error)) as raised:
        part.take()
    assert raised.value is error
    assert not part


def test_a_name_that_is_no_utf8_keeps_its_bytes_and_can_be_printed() -> None:
    name = HeaderName(b"caf\xe9")
    assert name == r"caf\xe9"
    assert name.encode() == b"caf\xe9"
    assert f"{name}".encode() == rb"caf\xe9"


def test_names_of_all_kinds_are_read_back_as_the_bytes_that_they_were() -> None:
    names = (HeaderName(b"\xff"), "имя", HeaderName(b"\xd0"), "")
    log = batch(0, 2, headers=tuple((name, b"v") for name in names)) + batch(2, 1, headers=(("x", b""),))
    headers = [[(name.encode(), value) for name, value in record.headers] for record in part_of(log).take()]
    assert headers == [[(name.encode(), b"v") for name in names]] * 2 + [[(b"x", b"")]]


def test_a_partition_without_a_leader_has_none_where_the_client_knows_no_offset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetcher = object.__new__(Fetcher)
    fetcher._net = type("Net", (), {"run": staticmethod(lambda *_: {})})
    monkeypatch.setattr(Fetcher, "_fetch_offsets_by_times_async", None)
    with pytest.raises(errors.LeaderNotAvailableError, match="transcripts"):
        fetcher.end_offsets([PLACE])

"""A chunk counts its records and forgets those of partitions that went."""

from makers import bad_record, chunk_of, partition, record

from worker.batching import read
from worker.records import Chunk, Rejected, partition_of


def mixed() -> Chunk:
    rejected = [Rejected(bad_record(9, partition=number), "decode", ValueError()) for number in (0, 1)]
    return chunk_of([read(record(offset, partition=number)) for number in (0, 1, 2) for offset in (3, 4)], rejected)


def test_the_length_counts_utterances_and_rejected_records() -> None:
    assert len(mixed()) == 8
    assert len(Chunk()) == 0


def test_dropping_a_partition_forgets_its_records_its_offset_and_its_claim() -> None:
    chunk = mixed()
    chunk.drop({partition(1)}.__contains__)
    assert {partition_of(item.record).partition for item in chunk.utterances} == {0, 2}
    assert [item.record.partition for item in chunk.rejected] == [0]
    assert chunk.next_offsets == {partition(0): 10, partition(2): 5}
    assert set(chunk.epochs) == {partition(0), partition(2)}


def test_dropping_a_partition_that_is_not_in_the_chunk_changes_nothing() -> None:
    chunk = mixed()
    chunk.drop({partition(7)}.__contains__)
    assert chunk.next_offsets == mixed().next_offsets
    assert len(chunk) == 8


def test_dropping_every_partition_leaves_an_empty_chunk() -> None:
    chunk = mixed()
    chunk.drop(lambda _: True)
    assert (len(chunk), chunk.next_offsets, chunk.epochs) == (0, {}, {})


def test_chunks_share_nothing() -> None:
    one, other = Chunk(), Chunk()
    one.next_offsets[partition(0)] = 1
    assert other.next_offsets == {}

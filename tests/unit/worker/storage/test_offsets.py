"""What counts as lag, which offsets are stored without a record, and when a chunk may move an offset."""

import pytest
from makers import partition

from worker.claims import Claim, Claimed
from worker.storage.offsets import OwnedPartition, Ownership, StoredOffset, Verdict, judge


def owned(received: int, stored: int | None) -> OwnedPartition:
    return OwnedPartition(epoch=1, received=received, handed_over=received, stored=stored)


def test_the_lag_is_what_the_log_holds_beyond_what_is_stored() -> None:
    partition = owned(received=30, stored=20)
    assert partition.lag(position=30, end=50) == 30
    assert not partition.unsent


def test_what_the_position_passes_when_all_is_stored_is_no_record_and_is_stored_too() -> None:
    partition = owned(received=30, stored=30)
    assert partition.lag(position=31, end=31) == 0
    assert partition.unsent
    assert partition.received == 31


def test_what_the_position_passes_is_not_stored_while_records_before_it_are_not() -> None:
    partition = owned(received=30, stored=29)
    assert partition.lag(position=31, end=31) == 2
    assert not partition.unsent


def test_offsets_of_a_topic_that_is_gone_are_no_lag_of_the_new_one() -> None:
    assert owned(received=0, stored=None).lag(position=0, end=7) == 7


def test_a_log_that_ends_before_what_is_stored_has_no_lag() -> None:
    assert owned(received=30, stored=30).lag(position=30, end=10) == 0


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (StoredOffset(3, 10), "move"),
        (StoredOffset(3, 20), "move"),  # The answer to the chunk's COMMIT got lost.
        (StoredOffset(4, 10), "claimed by another"),
        (StoredOffset(3, 7), "stands elsewhere"),  # A database that came back without its last commits.
        (None, "stands elsewhere"),
    ],
)
def test_a_chunk_moves_an_offset_from_where_it_begins_under_its_own_claim(
    row: StoredOffset | None, verdict: Verdict
) -> None:
    assert judge(row, epoch=3, expected=10, next_offset=20) == verdict


def test_a_claim_is_withdrawn_when_its_partition_goes_before_the_answer() -> None:
    ownership = Ownership()
    ownership.assign([partition(0)])
    claim = Claim(partition(0), 0, None)
    ownership.ask([claim])

    ownership.revoke([partition(0)])

    assert not claim.wanted
    assert not ownership.awaits(Claimed(claim, 1, 0, None)), "an answer that comes all the same is void"
    assert ownership.complete

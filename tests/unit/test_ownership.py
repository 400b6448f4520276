"""What counts as lag, and which offsets are stored without a record."""

from worker.ownership import Owned


def test_the_lag_is_what_the_log_holds_beyond_what_is_stored() -> None:
    owned = Owned(epoch=1, received=30, stored=20)
    assert owned.lag(position=30, end=50) == 30
    assert not owned.skipping


def test_what_the_position_passes_when_all_is_stored_is_no_record_and_is_stored_too() -> None:
    owned = Owned(epoch=1, received=30, stored=30)
    assert owned.lag(position=31, end=31) == 0
    assert owned.skipping
    assert owned.received == 31


def test_what_the_position_passes_is_not_stored_while_records_before_it_are_not() -> None:
    owned = Owned(epoch=1, received=30, stored=29)
    assert owned.lag(position=31, end=31) == 2
    assert not owned.skipping


def test_offsets_of_a_topic_that_is_gone_are_no_lag_of_the_new_one() -> None:
    owned = Owned(epoch=1, received=0, stored=None)
    assert owned.lag(position=0, end=7) == 7


def test_a_log_that_ends_before_what_is_stored_has_no_lag() -> None:
    assert Owned(epoch=1, received=30, stored=30).lag(position=30, end=10) == 0

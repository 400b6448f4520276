"""Replayed letters are gathered for one transaction after the other."""

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from worker.dead_letters.read import DeadLetter
from worker.dead_letters.replay import _MOST, _MOST_BYTES, Message, _batches


def message(offset: int, size: int) -> Message:
    letter = DeadLetter(TopicPartition("dead-letters", 0), offset, 0, None, b"", [], None)
    return Message(letter, bytes(size), "transcripts")


@given(st.lists(st.sampled_from([0, 10, 300_000, 2 * _MOST_BYTES]), max_size=250))
def test_each_letter_is_in_one_batch_in_order_and_no_batch_is_larger_than_a_transaction_should_be(
    sizes: list[int],
) -> None:
    batches = list(_batches(message(offset, size) for offset, size in enumerate(sizes)))

    assert [each.letter.offset for batch in batches for each in batch] == list(range(len(sizes)))
    for batch in batches:
        assert 0 < len(batch) <= _MOST
        assert sum(len(each.value) for each in batch[:-1]) < _MOST_BYTES

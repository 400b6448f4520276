"""The headers of records: a record stays the record that it was, however often it is rejected and replayed."""

from string import ascii_letters, digits

import pytest
from chunks import Message
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from worker.dead_letters.headers import (
    HEADER_PREFIX,
    REPLAY_OF,
    REPLAYED,
    Place,
    headers_of,
    own_headers,
    place_of,
    replayed_by,
    replayed_header,
)
from worker.dead_letters.read import DeadLetter
from worker.records import Rejected

OFFSETS = st.integers(0, 2**63 - 1)
PLACES = st.builds(
    Place,
    topic=st.text(f"{ascii_letters}{digits}._-", min_size=1, max_size=249),
    partition=st.integers(0, 2**31 - 1),
    offset=OFFSETS,
    timestamp=st.integers(-1, 2**63 - 1),
)
NAMES = st.text(min_size=1).filter(
    lambda name: not name.startswith(HEADER_PREFIX) and name not in {REPLAY_OF, REPLAYED}
)
HEADERS = st.lists(st.tuples(NAMES, st.binary()), max_size=4)


def record_at(place: Place, headers: list[tuple[str, bytes]]) -> Message:
    return Message(place.offset, b"", place.partition, place.topic, place.timestamp, None, tuple(headers))


def letter_of(record: Message) -> DeadLetter:
    headers = headers_of(Rejected(record, "decode", ValueError("bad")))
    return DeadLetter(TopicPartition("dead-letters", 0), 3, 1_700_000_000_000, None, b"", list(headers), None)


@given(PLACES, PLACES, PLACES, HEADERS)
def test_a_record_that_is_rejected_and_replayed_twice_keeps_its_place_and_its_own_headers(
    first: Place, second: Place, third: Place, own: list[tuple[str, bytes]]
) -> None:
    record = record_at(first, own)
    for place in (second, third):
        letter = letter_of(record)
        assert letter.origin == first
        assert letter.own_headers == own
        record = record_at(place, [*letter.own_headers, letter.origin.header])
        assert place_of(record) == first


@pytest.mark.parametrize(
    "said", [b"", b"transcripts/0/1", b"transcripts/0/x/5", b"a b/0/1/5", b"\xff/0/1/5", b"transcripts/-1/1/5"]
)
def test_a_header_that_names_no_place_says_nothing(said: bytes) -> None:
    here = Place("transcripts", 1, 2, 3)
    assert place_of(record_at(here, [(REPLAY_OF, said)])) == here


@given(st.lists(OFFSETS, min_size=1))
def test_a_mark_names_the_letters_that_were_replayed(offsets: list[int]) -> None:
    mark = replayed_header(offsets)
    assert replayed_by([("trace", b"1"), mark]) == offsets
    assert own_headers([mark]) == []


def test_a_letter_of_elsewhere_has_a_place_of_its_own() -> None:
    headers: list[tuple[str, bytes | None]] = [
        (f"{HEADER_PREFIX}topic", b"transcripts"),
        (f"{HEADER_PREFIX}offset", b"?"),
    ]
    letter = DeadLetter(TopicPartition("dead-letters", 1), 3, 1_700_000_000_000, b"\xff\x00", None, headers, None)
    assert letter.origin == Place("dead-letters", 1, 3, 1_700_000_000_000)
    assert letter.reason == "unknown: unknown"
    assert letter.named_key == "ff00"

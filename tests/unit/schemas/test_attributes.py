"""Attributes of a transcript: any object of JSON that Postgres can hold, and a clear reason for all else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import MAX_ATTRIBUTES_BYTES
from schemas.transcripts import InvalidTranscript, decode

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
)
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
OBJECTS = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)),
    max_size=4,
)


def attributes_of(written: bytes) -> str | None:
    return decode(b'{"text": "a", "attributes": %s}' % written, timestamp_ms=0).attributes


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_any_object_is_kept_as_it_was_sent(attributes: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    sent = json.dumps(attributes, indent=indent, ensure_ascii=ascii_only)

    assert json.loads(attributes_of(sent.encode()) or "") == attributes
    assert attributes_of(json.dumps(sent).encode()) == attributes_of(sent.encode()), "an object in a string"


def test_whole_numbers_of_any_length_stay_as_they_are() -> None:
    assert attributes_of(b'{"order": 123456789012345678901234567890}') == '{"order":123456789012345678901234567890}'


@pytest.mark.parametrize("nothing", [b"null", b'""', b'" "'])
def test_nothing_stays_nothing(nothing: bytes) -> None:
    assert attributes_of(nothing) is None
    assert decode(b'{"text": "a"}', timestamp_ms=0).attributes is None


def test_spaces_between_the_fields_do_not_count() -> None:
    longest = b'{"a": "%s"}' % (b"x" * (MAX_ATTRIBUTES_BYTES - 8))
    assert len(attributes_of(b" \n" * 5000 + longest) or "") == MAX_ATTRIBUTES_BYTES
    with pytest.raises(
        InvalidTranscript, match=r"`attributes` takes 4,097 bytes of JSON, and 4,096 are stored at most"
    ):
        attributes_of(longest.replace(b"xx", b"xxx", 1))


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"[]", "`attributes` is no JSON object: send one such as"),
        (b"3", "`attributes` is no JSON object"),
        (b'"north"', "`attributes` is no JSON object"),
        (b'"{north}"', "`attributes` is no JSON object"),
        (b'{"a": "\\u0000"}', r"`attributes` holds NUL \(U\+0000\)"),
        (b'{"\\u0000": 1}', r"`attributes` holds NUL \(U\+0000\)"),
        (b'{"a": "\\\\\\u0000"}', r"`attributes` holds NUL \(U\+0000\)"),
        (b'{"a": [1e309]}', "holds a number beyond 1.8e308"),
        (b'{"a": %s}' % (b"9" * 5000), "holds a number beyond 1.8e308"),
        (b'{"a": "\\ud83d"}', "half of a character stands escaped"),
        (b'{"a": "\xff"}', "the value is not UTF-8"),
        (b'{"a": NaN}', "NaN at byte 34 is no JSON"),
        (b'{"a": %s1%s}' % (b"[" * 2000, b"]" * 2000), "nested too deeply"),
    ],
)
def test_what_postgres_could_not_hold_is_refused_with_the_reason(written: bytes, reason: str) -> None:
    with pytest.raises(InvalidTranscript, match=reason):
        attributes_of(written)


def test_the_text_of_an_escape_is_no_nul_character() -> None:
    assert attributes_of(b'{"a": "\\\\u0000"}') == '{"a":"\\\\u0000"}'


@pytest.mark.parametrize("role", ['{"id": 1}', "3", "[]", f'"{"r" * 129}"'])
def test_a_role_of_another_shape_is_a_field_like_others_that_are_unknown(role: str) -> None:
    assert decode(f'{{"text": "a", "role": {role}}}'.encode(), timestamp_ms=0).role is None

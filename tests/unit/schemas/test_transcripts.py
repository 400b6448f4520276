"""The forms that a message may take, and what is said of those that are none."""

import gzip
import hashlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.keys import MAX_NAME_CHARACTERS, session_of
from schemas.segments import LONGEST_WORD
from schemas.transcripts import MAX_CALL_CHARACTERS, InvalidTranscript, Transcript, decode, record_id

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Moments of any time zone from the beginning of one year to that of another."""
    return st.datetimes(datetime(first, 1, 2), datetime(last, 1, 2), timezones=ZONES)  # noqa: DTZ001 - hypothesis wants naive bounds.


def test_only_the_text_is_required() -> None:
    assert decode(b'{"text": "\xd0\xb4\xd0\xb0"}', timestamp_ms=NOON_MS) == Transcript(text="да", spoken_at=NOON)


def test_all_fields_are_read() -> None:
    sent = Transcript(
        text="да",
        id="a-1",
        source="support-calls",
        session_id="a",
        speaker="customer",
        segment=3,
        language="ru",
        spoken_at=NOON,
        asr_confidence=0.5,
    )

    assert decode(msgspec.json.encode(sent), key=b"other", timestamp_ms=0) == sent


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"text": "a", "tokens": [1, {"b": null}], "mood": "good"}', timestamp_ms=0).text == "a"


def test_an_empty_text_is_a_transcript() -> None:
    assert decode(b'{"text": ""}', timestamp_ms=0).text == ""


@pytest.mark.parametrize(
    ("key", "session"),
    [
        (b"call-7", "call-7"),
        ("звонок 7".encode(), "звонок 7"),
        (b"k" * 128, "k" * 128),
        (None, None),
        (b"", None),
        (b"\x00\x00\x00\x00\x00\x00\x00*", "hex:000000000000002a"),
        (b"\xff\x00a", "hex:ff0061"),
        (b"call-7\0", "hex:63616c6c2d3700"),
        ("a\x85".encode(), "hex:61c285"),
        (b"hex:61", "hex:6865783a3631"),
        (b"k" * 129, f"sha256:{hashlib.sha256(b'k' * 129).hexdigest()}"),
        (b"sha256:", "hex:7368613235363a"),
    ],
)
def test_the_key_names_the_session_where_the_transcript_does_not(key: bytes | None, session: str | None) -> None:
    assert decode(b'{"text": "a"}', key=key, timestamp_ms=0).session_id == session
    assert decode(b'{"text": "a", "session_id": "own"}', key=key, timestamp_ms=0).session_id == "own"


KEYS = st.binary(min_size=1, max_size=200) | st.text(min_size=1).map(str.encode) | st.uuids().map(lambda key: key.bytes)


@given(st.lists(KEYS, max_size=20))
def test_no_two_keys_name_one_session(keys: list[bytes]) -> None:
    """Also where one key is written as the name that another got."""
    sessions = {key: session_of(key) for key in keys}
    sessions |= {name.encode(): session_of(name.encode()) for name in sessions.values() if name}

    assert len(set(sessions.values())) == len(sessions)
    assert all(name and len(name) <= MAX_NAME_CHARACTERS for name in sessions.values())


@pytest.mark.parametrize(
    ("spoken_at", "expected"),
    [
        ('"2026-03-02T12:00:00Z"', NOON),
        ('"2026-03-02T15:00:00+03:00"', NOON),
        ('"2026-03-02T12:00:00"', NOON),
        (str(NOON_MS), NOON),
        ("null", NOON - timedelta(hours=1)),
    ],
)
def test_the_moment_is_iso_or_epoch_milliseconds_or_the_records_own(spoken_at: str, expected: datetime) -> None:
    assert moment_of(spoken_at, timestamp_ms=NOON_MS - 3_600_000) == expected


def moment_of(spoken_at: str, *, timestamp_ms: int = -1) -> datetime | None:
    """Return when a transcript was said, whose moment is given as JSON."""
    read = decode(f'{{"text": "a", "spoken_at": {spoken_at}}}'.encode(), timestamp_ms=timestamp_ms).spoken_at
    assert read is None or (isinstance(read, datetime) and read.tzinfo)
    return read


@given(moments(1974, 2200))
def test_seconds_milliseconds_microseconds_and_nanoseconds_are_told_apart(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    microseconds = (moment - EPOCH) // timedelta(microseconds=1)
    for number in (
        f"{microseconds / 1e6:.3f}",
        f"{microseconds // 1000}",
        f"{microseconds / 1000}",
        f"{microseconds}",
        f"{microseconds * 1000}",
    ):
        read = moment_of(number)
        assert read is not None
        assert abs(read - moment) < timedelta(milliseconds=1)
    seconds = moment_of(str(microseconds // 1_000_000))
    assert seconds == moment.replace(microsecond=0)


@given(moments(2, 9998))
def test_a_moment_of_the_calendar_is_kept_as_it_is(moment: datetime) -> None:
    assert moment_of(f'"{moment.isoformat()}"') == moment


@pytest.mark.parametrize("timestamp_ms", [NOON_MS // 1000, NOON_MS, NOON_MS * 1000])
def test_a_records_timestamp_in_another_unit_is_no_day_of_1970(timestamp_ms: int) -> None:
    assert moment_of("null", timestamp_ms=timestamp_ms) == NOON


@pytest.mark.parametrize(
    "unset",
    [
        "0",
        "12500",
        "12.5",
        "99999999",
        "1e20",
        "253402300799999000000",
        '"0001-01-01T00:00:00Z"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-14:00"',
        '"9999-12-31T23:59:59.999"',
    ],
)
def test_a_time_that_was_never_set_or_lies_within_the_call_is_no_moment(unset: str) -> None:
    assert moment_of(unset, timestamp_ms=NOON_MS) == NOON


@pytest.mark.parametrize("timestamp_ms", [-1, 0, -NOON_MS, -(2**63)])
def test_where_nobody_says_when_it_was_spoken_there_is_no_moment(timestamp_ms: int) -> None:
    """The clock would say another at each delivery."""
    assert moment_of("null", timestamp_ms=timestamp_ms) is None


def test_a_result_of_vosk_brings_the_mean_confidence_of_its_words() -> None:
    value = b'{"result": [{"conf": 1.0, "end": 1.1, "start": 0.9, "word": "a"}, {"conf": 0.5}], "text": "a b"}'

    assert decode(value, timestamp_ms=NOON_MS) == Transcript(text="a b", spoken_at=NOON, asr_confidence=0.75)


def test_a_result_of_vosk_without_words_has_no_confidence() -> None:
    assert decode(b'{"result": [], "text": ""}', timestamp_ms=0).asr_confidence is None


def test_a_segment_of_whisper_brings_its_number_and_probability() -> None:
    value = (
        b'{"id": 4, "seek": 0, "start": 0.0, "end": 2.5, "text": " A.", "tokens": [1], "temperature": 0.0, '
        b'"avg_logprob": -0.25, "compression_ratio": 1.2, "no_speech_prob": 0.01}'
    )

    read = decode(value, key=b"file-1", timestamp_ms=NOON_MS)

    assert (read.id, read.segment, read.session_id, read.text) == (None, 4, "file-1", " A.")
    assert read.asr_confidence == pytest.approx(math.exp(-0.25))


@pytest.mark.parametrize("field", ["result", "avg_logprob"])
@pytest.mark.parametrize(
    "foreign", [b"null", b'"-0.25"', b"true", b"1e999", b"{}", b'{"conf": 1}', b'["ok"]', b'[{"word": "a"}]']
)
def test_a_field_that_only_shares_its_name_with_one_of_vosk_or_whisper_is_ignored(field: str, foreign: bytes) -> None:
    value = b'{"text": "a", "%s": %s}' % (field.encode(), foreign)

    assert decode(value, timestamp_ms=NOON_MS) == Transcript(text="a", spoken_at=NOON)


def test_words_without_confidence_among_others_bring_none() -> None:
    value = b'{"result": [{"conf": 1.0, "word": "a"}, {"conf": "high", "word": "b"}], "text": "a b"}'

    assert decode(value, timestamp_ms=0).asr_confidence is None


@pytest.mark.parametrize("also", ['"avg_logprob": "low"', '"avg_logprob": null', '"start": 0.5', '"seek": 0'])
def test_a_number_as_id_beside_fields_of_a_segment_is_refused_since_it_may_name_one_in_each_file(also: str) -> None:
    with pytest.raises(InvalidTranscript, match=r"\$\.id"):
        decode(f'{{"text": "a", "id": 4, {also}}}'.encode(), timestamp_ms=0)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"id": 4', '"id": "4"'),
        ('"id": 0', '"id": "0"'),
        ('"id": -9007199254740993', '"id": "-9007199254740993"'),
        ('"id": 18446744073709551617', '"id": "18446744073709551617"'),
        ('"id": 4.0', '"id": "4"'),
        ('"source": 7, "session_id": 8, "speaker": 1', '"source": "7", "session_id": "8", "speaker": "1"'),
        ('"segment": 2.0', '"segment": 2'),
        ('"segment": "2"', '"segment": 2'),
        ('"segment": "", "asr_confidence": "", "spoken_at": ""', '"segment": null'),
        ('"asr_confidence": "0.5"', '"asr_confidence": 0.5'),
        ('"spoken_at": "2026-03-02"', '"spoken_at": "2026-03-02T00:00:00Z"'),
        ('"spoken_at": "2026-03-02T15:00+03"', f'"spoken_at": {NOON_MS}'),
        ('"spoken_at": "20260302T120000Z"', f'"spoken_at": {NOON_MS}'),
        (f'"spoken_at": "{NOON_MS}"', f'"spoken_at": {NOON_MS}'),
        (f'"spoken_at": "{NOON_MS // 1000}.0"', f'"spoken_at": {NOON_MS}'),
        ('"spoken_at": "9999-12-31T23:59:59.9999999Z"', '"spoken_at": null'),
        ('"id": 4, "segment": 2.0, "x": [1e999, {"y": "\\ud83d\\ude00"}]', '"id": "4", "segment": 2'),
    ],
)
def test_what_breaks_the_schema_and_can_mean_one_thing_only_is_taken(said: str, meant: str) -> None:
    def read(fields: str) -> Transcript:
        return decode(f'{{"text": "a", {fields}}}'.encode(), timestamp_ms=NOON_MS)

    assert read(said) == read(meant)


def test_nul_characters_of_a_text_are_left_out_since_no_database_holds_them() -> None:
    assert decode(rb'{"text": "a\u0000b \\u0000"}', timestamp_ms=0).text == r"ab \u0000"


@pytest.mark.parametrize("field", ["id", "source", "session_id", "speaker"])
def test_a_name_with_a_nul_character_is_refused_since_without_it_it_would_be_another(field: str) -> None:
    with pytest.raises(InvalidTranscript, match="NUL"):
        decode(rb'{"text": "a", "%s": "a\u0000"}' % field.encode(), timestamp_ms=0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "the value is empty"),
        (b" \n", "the value is empty"),
        (b"{", "breaks off at byte 1"),
        (b'{"text": "a', "breaks off at byte 11"),
        (b'{"text": "\xd0', "breaks off at byte 11"),
        (b'\xef\xbb\xbf{"text": "a"}', "byte order mark"),
        ('{"text": "a"}'.encode("utf-16"), "UTF-16"),
        ('{"text": "a"}'.encode("utf-16-le"), "UTF-16"),
        ('{"text": "a"}'.encode("utf-16-be"), "UTF-16"),
        ('{"text": "a"}'.encode("utf-32"), "UTF-32"),
        (b"\x00\x00\x00\x01\x02\x0cprivet", "schema registry's magic byte 0 and schema number 258"),
        (gzip.compress(b'{"text": "a"}', mtime=0), "compressed by gzip"),
        (b"\xac\xed\x00\x05t\x00\x01a", "serialized Java object"),
        (b'["text"]', "a JSON array"),
        (b'"text"', "a JSON string"),
        (rb'"{\"text\": \"a\"}"', "a JSON object within a JSON string"),
        (b"112", "JSON, but no object"),
        (b"null", "JSON, but no object"),
        ("да да".encode(), "no JSON, but plain text"),
        (b"<a/>", "no JSON, but plain text or another format"),
        ("да да".encode("cp1251"), "not UTF-8 .byte 0xe4 at 0."),
        (b'{"text": "\xff"}', "not UTF-8 .byte 0xff at 10."),
        (b"{'text': 'a'}", "a single quote at byte 1"),
        (b'{"text": "a\nb"}', "a control character .0x0a. stands unescaped at byte 11"),
        (b'{"text": "a", "asr_confidence": NaN}', "NaN at byte 32"),
        (b'{"text": "a", "tokens": [-Infinity]}', "Infinity at byte 26"),
        (b'{"text": "a"}\n{"text": "b"}', "more follows the JSON at byte 15"),
        (b'{"text": "a", "result": [}', "malformed"),
        (rb'{"text": "\ud83d"}', "half of a character"),
        (rb'{"text": "a\ude00"}', "half of a character"),
        (b'{"text": "a", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"{}", "missing required field `text`: it is empty"),
        (
            b'{"result_index": 0, "alternatives": [{"transcript": "a"}]}',
            "missing required field `text`: its fields are `result_index`, `alternatives`$",
        ),
        (b'{"text": null}', r"got `null` - at `\$\.text`"),
        (b'{"text": 112}', r"got `int` - at `\$\.text`"),
        (
            b'{"text": "%s"}' % (b"a" * (LONGEST_WORD + 1)),
            r"more than 20000 characters without a space - at `\$\.text`",
        ),
        (b'{"text": "%s"}' % (b"a " * MAX_CALL_CHARACTERS), r"length <= 500000 - at `\$\.text`"),
        (b'{"text": "a", "id": "%s"}' % (b"a" * 129), r"length <= 128 - at `\$\.id`"),
        (b'{"text": "a", "id": %s}' % (b"9" * 5_000), r"length <= 128 - at `\$\.id`"),
        (b'{"text": "a", "id": -1, "avg_logprob": -1}', r"at `\$\.id`"),
        (b'{"text": "a", "id": 2.5}', r"at `\$\.id`"),
        (b'{"text": "a", "id": true}', r"at `\$\.id`"),
        (b'{"text": "a", "segment": -1}', r"at `\$\.segment`"),
        (b'{"text": "a", "segment": 2.5}', r"at `\$\.segment`"),
        (b'{"text": "a", "segment": 2147483648}', r"at `\$\.segment`"),
        (b'{"text": "a", "segment": %s}' % (b"9" * 5_000), r"at `\$\.segment`"),
        (b'{"text": "a", "asr_confidence": 87}', r"at `\$\.asr_confidence`"),
        (b'{"text": "a", "asr_confidence": 1e999}', r"at `\$\.asr_confidence`"),
        (b'{"text": "a", "spoken_at": "yesterday"}', r"ISO 8601 or a number since 1970 - at `\$\.spoken_at`"),
        (b'{"text": "a", "spoken_at": "02.03.2026"}', r"ISO 8601 or a number since 1970 - at `\$\.spoken_at`"),
        (b'{"text": "a", "spoken_at": -1}', r"at `\$\.spoken_at`"),
        (b'{"text": "a", "spoken_at": 1e999}', r"at `\$\.spoken_at`"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_field_and_the_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidTranscript, match=reason):
        decode(value, timestamp_ms=0)


def test_a_reason_repeats_nothing_that_may_have_been_said() -> None:
    """An object may be a table of names or words; Latin identifiers are what programs call their fields."""
    with pytest.raises(InvalidTranscript) as refused:
        decode('{"phrase": "тайна", "Иванов Иван": 1, "79161234567": 2}'.encode(), timestamp_ms=0)

    assert str(refused.value) == "Object missing required field `text`: its fields are `phrase` and 2 more"
    with pytest.raises(InvalidTranscript, match="its fields have other names"):
        decode('{"Иванов Иван": 1}'.encode(), timestamp_ms=0)


FIELDS = (*Transcript.__struct_fields__[1:], "result", "avg_logprob", "start", "частное")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.datetimes(timezones=st.none() | ZONES).map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries({"text": VALUES | st.text()}, optional=dict.fromkeys(FIELDS, VALUES)).map(json.dumps)
DAMAGE = st.tuples(st.integers(0, 300), st.integers(0, 3), st.binary(max_size=3))


def damaged(value: str, damage: tuple[int, int, bytes] | None) -> bytes:
    """Return a value as bytes, some of which are replaced."""
    at, length, bytes_ = damage or (0, 0, b"")
    content = value.encode()
    return content[:at] + bytes_ + content[at + length :]


@given(OBJECTS, st.none() | DAMAGE, st.none() | st.binary(), st.integers(-(2**63), 2**63 - 1))
def test_any_object_sound_or_damaged_is_a_transcript_or_refused(
    value: str, damage: tuple[int, int, bytes] | None, key: bytes | None, timestamp_ms: int
) -> None:
    try:
        read = decode(damaged(value, damage), key=key, timestamp_ms=timestamp_ms)
    except InvalidTranscript:
        return
    assert "\0" not in f"{read.text}{read.id}{read.source}{read.session_id}{read.speaker}"


@given(st.binary())
def test_any_bytes_are_a_transcript_or_refused(value: bytes) -> None:
    try:
        read = decode(value, timestamp_ms=0)
    except InvalidTranscript:
        return
    assert isinstance(read.text, str)


def test_the_name_of_a_record_without_id_never_changes() -> None:
    """A replay after an upgrade must overwrite the row, so the very string is part of the contract."""
    assert record_id("transcripts", 0, 42, NOON_MS) == "e499683f-6bba-5ce4-9177-0fb8369df7a4"


def test_names_differ_by_place_and_by_moment() -> None:
    places = [("t", 0, 1, 5), ("t", 1, 0, 5), ("t", 0, 1, 6), ("u", 0, 1, 5), ("t", 0, 15, 5), ("t", 0, 11, 5)]

    assert len({record_id(*place) for place in places}) == len(places)

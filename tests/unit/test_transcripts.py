"""The forms that a message may take, and what is said of those that are none."""

import math
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.transcripts import MAX_TEXT_CHARACTERS, InvalidTranscript, Transcript, decode, record_id

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


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
    [(b"call-7", "call-7"), (None, None), (b"", None), (b"\xff\x00a", "\ufffda"), (b"k" * 200, "k" * 128)],
)
def test_the_key_names_the_session_where_the_transcript_does_not(key: bytes | None, session: str | None) -> None:
    assert decode(b'{"text": "a"}', key=key, timestamp_ms=0).session_id == session
    assert decode(b'{"text": "a", "session_id": "own"}', key=key, timestamp_ms=0).session_id == "own"


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
    value = f'{{"text": "a", "spoken_at": {spoken_at}}}'.encode()

    assert decode(value, timestamp_ms=NOON_MS - 3_600_000).spoken_at == expected


@given(st.datetimes(datetime(1970, 1, 2), datetime(9998, 12, 31), timezones=st.just(timezone(timedelta(hours=3)))))  # noqa: DTZ001 - hypothesis wants naive bounds.
def test_moments_survive_to_the_millisecond(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    read = decode(b'{"text": "a", "spoken_at": %d}' % milliseconds, timestamp_ms=0).spoken_at

    assert isinstance(read, datetime)
    assert abs(read - moment) < timedelta(milliseconds=1)


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


@pytest.mark.parametrize("also", [b"", b', "avg_logprob": "low"', b', "avg_logprob": null'])
def test_a_number_as_id_is_refused_but_of_whisper_since_it_would_be_lost(also: bytes) -> None:
    with pytest.raises(InvalidTranscript, match=r"\$\.id"):
        decode(b'{"text": "a", "id": 4%s}' % also, timestamp_ms=0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"text": "a', "truncated"),
        (b'["text"]', "Expected `object`, got `array`"),
        (b'{"id": "a"}', "missing required field `text`"),
        (b'{"text": null}', r"got `null` - at `\$\.text`"),
        (b'{"text": 112}', r"got `int` - at `\$\.text`"),
        (b'{"text": "%s"}' % (b"a" * (MAX_TEXT_CHARACTERS + 1)), r"length <= 20000 - at `\$\.text`"),
        (b'{"text": "a", "id": "%s"}' % (b"a" * 129), r"length <= 128 - at `\$\.id`"),
        (b'{"text": "a", "id": -1, "avg_logprob": -1}', r"at `\$\.id`"),
        (b'{"text": "a", "segment": -1}', r"at `\$\.segment`"),
        (b'{"text": "a", "segment": 2147483648}', r"at `\$\.segment`"),
        (b'{"text": "a", "asr_confidence": 87}', r"at `\$\.asr_confidence`"),
        (b'{"text": "a", "spoken_at": "yesterday"}', r"at `\$\.spoken_at`"),
        (b'{"text": "a", "spoken_at": -1}', r"at `\$\.spoken_at`"),
        (b'{"text": "a", "result": [}', "malformed"),
        (b'{"text": "\xff"}', "utf-8"),
        (rb'{"text": "\ud83d"}', "truncated"),
        (b'{"text": "a", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
    ],
)
def test_what_is_no_transcript_is_refused_with_the_field_and_the_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidTranscript, match=reason):
        decode(value, timestamp_ms=0)


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

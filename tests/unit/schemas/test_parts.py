"""A message that is a whole call, or a long text, is cut into the same parts each time, and loses no word."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.parts import MAX_WORDS, Part, cut_text, is_whole, parts_of
from schemas.roles import role_of, roles_by_channel
from schemas.transcripts import InvalidTranscript, Transcript, decode

WORDS = st.text('абв.?!…"»)', min_size=1, max_size=5) | st.sampled_from(["да", "нет.", "что?!", "«ладно»."])
SPACES = st.text(" \n\t\u00a0", min_size=1, max_size=3)
TEXTS = st.lists(st.tuples(WORDS, SPACES), max_size=400).map(lambda pairs: "".join(map("".join, pairs)))


def parts(**fields: Any) -> list[Part]:
    """Decode a message and cut it."""
    return parts_of(decode(json.dumps(fields).encode(), timestamp_ms=-1))


def spoken(found: list[Part]) -> list[str]:
    return [part.transcript.text for part in found]


@given(TEXTS, st.lists(TEXTS, max_size=5))
def test_the_words_of_all_parts_are_those_of_the_message_and_each_part_is_within_reach(
    text: str, segments: list[str]
) -> None:
    message = {"id": "a", "segments": [{"text": segment} for segment in segments]} if segments else {"text": text}
    whole = " ".join(segments) if segments else text
    found = parts(**message) if whole.split() else parts(text=whole)
    assert " ".join(spoken(found)).split() == whole.split()
    assert all(len(words.split()) <= MAX_WORDS for words in spoken(found))
    assert found == (parts(**message) if whole.split() else parts(text=whole))


@given(TEXTS)
def test_a_text_is_cut_within_a_sentence_only_where_the_sentence_is_longer_than_a_part(text: str) -> None:
    found = cut_text(text)
    if len(found) == 1:
        assert found == [(text, None)]
        return
    for part, cut in found[:-1]:
        assert cut == "words" or part.rstrip("\"'»”’)]")[-1] in ".?!…"
    assert all(len(part.split()) > MAX_WORDS / 2 for part, cut in found if cut == "words")


@given(TEXTS)
def test_what_is_told_to_be_whole_is_one_part_as_it_is_and_nothing_else_is(text: str) -> None:
    transcript = Transcript(text=text, id="a")
    assert is_whole(transcript) == (parts_of(transcript) == [Part(transcript, 1, None)])


def test_sentences_are_kept_together_up_to_the_reach_and_speech_without_marks_is_cut_into_equal_runs() -> None:
    sentences = " ".join(" ".join(["слово"] * count) + "." for count in (10, 30, 30, 70, 5, 63, 1))
    assert [(len(text.split()), cut) for text, cut in cut_text(sentences)] == [
        (40, "sentence"),
        (30, "sentence"),
        (35, "words"),
        (35, "words"),
        (5, "sentence"),
        (64, "sentence"),
    ]
    assert [(len(text.split()), cut) for text, cut in cut_text("ну " * 150)] == [(50, "words")] * 3


def test_ids_and_places_are_made_from_the_messages() -> None:
    found = parts(
        id="call-7", source="line", session_id="s", segments=[{"text": " да"}, {"text": " "}, {"text": "нет"}]
    )
    assert [(part.transcript.id, part.transcript.segment, part.number, part.cut) for part in found] == [
        ("call-7", 0, 1, "segment"),
        ("call-7#0002", 1, 2, "segment"),
    ]
    assert {(part.transcript.source, part.transcript.session_id) for part in found} == {("line", "s")}
    assert spoken(found) == ["да", "нет"]
    long = parts(id="7", segment=5, text="ну " * 100)
    assert [(part.transcript.id, part.transcript.segment) for part in long] == [("7", 5), ("7#0002", 5)]


def test_a_long_segment_is_cut_and_its_parts_share_its_place_and_speaker() -> None:
    found = parts(segments=[{"text": "да"}, {"text": "ну " * 100, "speaker": "agent"}, {"text": "всё"}])
    told = [(part.transcript.segment, part.transcript.speaker, part.cut) for part in found]
    assert told == [(0, None, "segment"), (1, "agent", "words"), (1, "agent", "words"), (2, None, "segment")]


SHAPES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "Whisper's verbose_json": (
        {
            "task": "transcribe",
            "language": "ru",
            "text": " Алло. Где заказ?",
            "segments": [
                {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": " Алло.", "avg_logprob": 0.0, "tokens": [1]},
                {
                    "id": 1,
                    "seek": 0,
                    "start": 1.0,
                    "end": 2.0,
                    "text": " Где заказ?",
                    "avg_logprob": -0.6931471805599453,
                },
            ],
        },
        [{"text": "Алло.", "asr_confidence": 1.0}, {"text": "Где заказ?", "asr_confidence": 0.5}],
    ),
    "WhisperX, without a text of the whole": (
        {
            "segments": [
                {"start": 0.1, "text": "алло", "words": [{"word": "алло", "score": 0.8}], "speaker": "SPEAKER_00"},
                {"start": 1.1, "text": "да", "words": [{"word": "да"}], "speaker": "SPEAKER_01"},
            ],
            "word_segments": [{"word": "алло"}],
        },
        [{"text": "алло", "speaker": "SPEAKER_00", "asr_confidence": 0.8}, {"text": "да", "speaker": "SPEAKER_01"}],
    ),
    "transformers": (
        {
            "text": " алло да это я",
            "chunks": [{"text": " алло да", "timestamp": [0.0, 1.2]}, {"text": " это я", "timestamp": [1.2, None]}],
        },
        [{"text": "алло да"}, {"text": "это я"}],
    ),
    "AssemblyAI": (
        {
            "status": "completed",
            "language_code": "en_us",
            "text": "алло да",
            "words": [{"text": "алло", "start": 0, "confidence": 0.9}],
            "utterances": [
                {"speaker": "A", "start": 10, "text": "алло", "confidence": 0.9, "words": [{"text": "алло"}]},
                {"speaker": None, "channel": "1", "start": 20, "text": "да", "confidence": 0.7},
            ],
            "segments": None,
        },
        [
            {"text": "алло", "speaker": "A", "asr_confidence": 0.9, "language": "en-us"},
            {"text": "да", "speaker": "channel-1", "asr_confidence": 0.7, "attributes": None},
        ],
    ),
    "Deepgram's utterances": (
        {
            "text": "алло да",
            "utterances": [
                {"transcript": "алло", "speaker": 0, "channel": 0, "confidence": 0.99},
                {"transcript": "да", "speaker": 1, "channel": 0, "confidence": 12.5},
            ],
        },
        [
            {"text": "алло", "speaker": "speaker-0", "asr_confidence": 0.99, "attributes": None},
            {"text": "да", "speaker": "speaker-1", "asr_confidence": None},
        ],
    ),
    "Deepgram's utterances of two channels": (
        {
            "attributes": {"tenant": "north", "channel": "both"},
            "utterances": [
                {"transcript": "алло", "speaker": 0, "channel": 0},
                {"transcript": "да", "speaker": 0, "channel": 1},
                {"transcript": "нет", "speaker": "Иванова", "channel": 1},
                {"transcript": "ну"},
            ],
        },
        [
            {"speaker": "channel-0", "attributes": '{"tenant":"north","channel":0}'},
            {"speaker": "channel-1", "attributes": '{"tenant":"north","channel":1}'},
            {"speaker": "Иванова", "attributes": '{"tenant":"north","channel":1}'},
            {"speaker": None, "attributes": '{"tenant":"north","channel":"both"}'},
        ],
    ),
    "insanely-fast-whisper": (
        {
            "text": "алло да это я",
            "speakers": [
                {"speaker": "SPEAKER_00", "text": "алло да", "timestamp": [0.0, 1.0]},
                {"speaker": "SPEAKER_01", "text": "это я", "timestamp": [1.0, 2.0]},
            ],
            "chunks": [{"text": "алло да это я", "timestamp": [0.0, 2.0]}],
        },
        [{"text": "алло да", "speaker": "SPEAKER_00"}, {"text": "это я", "speaker": "SPEAKER_01"}],
    ),
    "entries whose text is null": (
        {"text": "алло да", "segments": [{"text": None}, {"text": "алло", "speaker": "agent"}, {"text": "да"}]},
        [{"text": "алло", "speaker": "agent"}, {"text": "да", "speaker": None}],
    ),
    "a null between entries": (
        {"text": None, "segments": [{"text": "алло"}, {"transcript": None, "speaker": "agent"}, {"text": "да"}]},
        [{"text": "алло"}, {"text": "да"}],
    ),
    "fields that can mean one thing only": (
        {
            "segments": [
                {"text": "алло", "spoken_at": "", "asr_confidence": "0.5", "speaker": 2.0},
                {"text": "да", "spoken_at": "2026-03-02", "asr_confidence": ""},
            ]
        },
        [
            {"text": "алло", "spoken_at": None, "asr_confidence": 0.5, "speaker": "speaker-2"},
            {"text": "да", "spoken_at": datetime(2026, 3, 2, tzinfo=UTC), "asr_confidence": None},
        ],
    ),
    "our own": (
        {
            "text": "алло да",
            "language": "ru",
            "spoken_at": "2026-03-02T10:00:00Z",
            "segments": [
                {"text": "алло", "speaker": "customer", "spoken_at": "2026-03-02T13:00:05+03:00", "asr_confidence": 1},
                {"text": "да", "language": "uk"},
            ],
        },
        [
            {"text": "алло", "speaker": "customer", "spoken_at": datetime(2026, 3, 2, 10, 0, 5, tzinfo=UTC)},
            {"text": "да", "language": "uk", "spoken_at": datetime(2026, 3, 2, 10, tzinfo=UTC)},
        ],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_recognizers_call_segments_is_read(shape: str) -> None:
    message, expected = SHAPES[shape]
    found = [msgspec.structs.asdict(part.transcript) for part in parts(**message)]
    assert [{name: row[name] for name in wanted} for row, wanted in zip(found, expected, strict=True)] == [
        {name: pytest.approx(value) if isinstance(value, float) else value for name, value in wanted.items()}
        for wanted in expected
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        {"segments": ["vip", "loyal"]},
        {"segments": 3},
        {"segments": []},
        {"segments": [{"name": "vip"}]},
        {"segments": [{"text": 5}]},
        {"segments": [{"text": "vip"}]},
        {"chunks": [{"text": "где"}, {"text": "мой"}, {"text": "заказ"}, {"text": "наконец"}]},
        {"speakers": [{"text": word, "speaker": "A"} for word in ("где", "мой", "заказ", "наконец")]},
        {"segments": [5, {"text": None}, {"name": "vip"}]},
        {"language_code": 7},
        {"utterances": {"text": "где мой заказ"}},
    ],
    ids=str,
)
def test_a_field_that_only_has_the_name_of_segments_is_an_unknown_one(foreign: dict[str, Any]) -> None:
    assert spoken(parts(text="где мой заказ наконец", **foreign)) == ["где мой заказ наконец"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"segments": [{"text": "да"}, {"speaker": "x"}]}, r"a segment has no `text` - at `\$\.segments\[1\]`"),
        (
            {"segments": [{"text": "да"}, {"text": "a", "speaker": [1]}]},
            r"got `array` - at `\$\.segments\[1\]\.speaker`",
        ),
        ({"text": "да", "utterances": [{"text": "да"}, 5]}, r"got `int` - at `\$\.utterances\[1\]`"),
        ({"segments": [{"text": "да", "speaker": "a\0b"}]}, r"NUL, .* at `\$\.segments\[0\]\.speaker`"),
        (
            {"segments": [{"text": "а" * 20_001}]},
            r"more than 20000 characters without a space - at `\$\.segments\[0\]`",
        ),
        ({"segments": [{"text": "а"}] * 10_001}, r"more than 10000 segments - at `\$\.segments`"),
        (
            {"segments": [{"text": "ну " * 6_000}] * 40},
            r"more than 500000 characters in all - at `\$\.segments`",
        ),
        (
            {"text": "ну", "segments": [{"text": "ну " * 6_000}] * 40},
            r"more than 500000 characters in all - at `\$\.segments`",
        ),
        (
            {"segments": [{"text": "а", "channel": 0}, {"text": "б", "speaker": "x", "channel": "a\0b"}]},
            r"NUL, .* at `\$\.segments\[1\]\.channel`",
        ),
        (
            {"segments": [{"text": "да", "spoken_at": "yesterday"}]},
            r"ISO 8601 or a number since 1970 - at `\$\.segments\[0\]\.spoken_at`",
        ),
        ({"text": None, "segments": [{"text": None}]}, r"got `null` - at `\$\.text`"),
        ({"segments": [{"name": "vip"}]}, "required field `text`"),
    ],
)
def test_a_bad_segment_is_refused_with_its_place(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidTranscript, match=reason):
        parts(**message)


def test_the_segments_of_a_call_hold_as_many_characters_as_a_text() -> None:
    segments = [{"text": "н" * 999}] * 500
    assert len(parts(segments=segments)) == 500
    with pytest.raises(InvalidTranscript, match="more than 500000 characters in all"):
        parts(segments=[*segments, {"text": "ну"}])


def test_the_channels_of_segments_tell_roles() -> None:
    utterances = [{"transcript": "алло", "speaker": 0, "channel": 0}, {"transcript": "да", "speaker": 0, "channel": 1}]
    found = [role_of(part.transcript, roles_by_channel("0=agent,1=customer")) for part in parts(utterances=utterances)]
    assert found == ["agent", "customer"]


def test_nul_characters_of_segments_are_left_out() -> None:
    assert spoken(parts(segments=[{"text": "д\0а"}])) == ["да"]

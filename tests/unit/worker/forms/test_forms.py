"""Each form that is known is read rightly, from a sample as its tool writes it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from places import DATA, ROOT

from schemas.roles import roles_by_channel
from schemas.transcripts import Transcript
from worker.forms.files import TranscriptFile
from worker.forms.known import JSON_FORMS, LINE_FORMS, NAMES
from worker.forms.source import Source

SAMPLES = DATA / "forms"
WRITTEN = [
    "Здравствуйте, чем могу помочь?",
    "Я третий день жду курьера!",
    "Мне никто не перезвонил.",
    "Извините, сейчас всё проверю.",
    "Хорошо, спасибо большое.",
]
HEARD = [
    "здравствуйте чем могу помочь",
    "я третий день жду курьера",
    "мне никто не перезвонил",
    "извините сейчас всё проверю",
    "хорошо спасибо большое",
]
ONE = ["мне никто не перезвонил"]
AGENT_FIRST = ("agent", "customer", "customer", "agent", "customer")


def speakers(agent: str, customer: str) -> tuple[str, ...]:
    return tuple({"agent": agent, "customer": customer}[who] for who in AGENT_FIRST)


@dataclass
class Sample:
    """What a sample holds: its form, its texts, who spoke, and fields of the first transcript."""

    file: str
    form: str
    texts: list[str] = field(default_factory=lambda: WRITTEN)
    speakers: tuple[str, ...] | None = None
    session: str | None = None
    first: dict[str, Any] = field(default_factory=dict)


CHANNELS = speakers("channel-0", "channel-1")
SPEAKERS = speakers("SPEAKER_00", "SPEAKER_01")
SAMPLE_FILES = [
    Sample("ours.jsonl", "jsonl", WRITTEN, AGENT_FIRST, "call-1001", {"segment": 0, "id": "call-1001-seg_000"}),
    Sample("ours.json", "jsonl", WRITTEN, AGENT_FIRST, "call-1001", {"segment": 0}),
    Sample("openai.json", "jsonl", ["Мне никто не перезвонил."]),
    Sample("plain.txt", "text"),
    Sample("whisper.json", "whisper", first={"language": "ru", "asr_confidence": 0.818731, "segment": 0}),
    Sample("openai-verbose.json", "whisper", first={"language": "ru", "asr_confidence": 0.818731}),
    Sample("openai-diarized.json", "whisper", WRITTEN, AGENT_FIRST),
    Sample("whisper.srt", "srt"),
    Sample("tags.srt", "srt"),
    Sample("whisperx.srt", "srt", WRITTEN, SPEAKERS),
    Sample("whisper.vtt", "vtt"),
    Sample("whisperx.vtt", "vtt", WRITTEN, SPEAKERS),
    Sample("voices.vtt", "vtt", WRITTEN, speakers("Оператор", "Клиент")),
    Sample("whisper-log.txt", "whisper-log"),
    Sample("whisper.tsv", "csv"),
    Sample("whisperx.tsv", "csv"),
    Sample("whisper-cpp.csv", "csv"),
    Sample("call-17.wav.json", "whisper.cpp", session="call-17", first={"language": "ru", "id": "call-17-0"}),
    Sample(
        "whisper-cpp-full.json",
        "whisper.cpp",
        WRITTEN,
        speakers("speaker-0", "speaker-1"),
        None,
        {"asr_confidence": 0.9},
    ),
    Sample("faster-whisper.json", "faster-whisper", first={"asr_confidence": 0.810584}),
    Sample("faster-whisper.jsonl", "faster-whisper", first={"asr_confidence": 0.810584}),
    Sample("whisperx.json", "whisperx", WRITTEN, SPEAKERS, None, {"language": "ru", "asr_confidence": 0.76}),
    Sample("whisperx.txt", "whisperx-txt", WRITTEN, SPEAKERS),
    Sample("transformers.json", "transformers"),
    Sample("insanely-fast-whisper.json", "transformers", WRITTEN, SPEAKERS),
    Sample("vosk.jsonl", "vosk", HEARD, first={"asr_confidence": 0.93}),
    Sample("vosk-indented.json", "vosk", HEARD, first={"asr_confidence": 0.93}),
    Sample("vosk-alternatives.jsonl", "vosk", HEARD, first={"asr_confidence": None}),
    Sample("vosk-transcriber.json", "vosk-transcriber", HEARD, first={"asr_confidence": 0.93}),
    Sample("kaldi-text", "kaldi", HEARD, None, "call-1001", {"id": "call-1001-0000048-0000260"}),
    Sample("kaldi.ctm", "ctm", [HEARD[0], f"{HEARD[1]} {HEARD[2]}", *HEARD[3:]], ("A", "B", "A", "B"), "call-1001"),
    Sample("kaldi-server.jsonl", "kaldi-server", HEARD, first={"asr_confidence": 0.93}),
    Sample("nemo.jsonl", "nemo", HEARD, AGENT_FIRST, "call-1001", {"language": "ru", "id": "call-1001-0"}),
    Sample("gigaam.json", "gigaam", HEARD),
    Sample("gigaam-3.json", "gigaam", first={"asr_confidence": 0.95}),
    Sample("speechkit.jsonl", "speechkit", HEARD, CHANNELS, None, {"asr_confidence": None}),
    Sample("speechkit-v2.json", "speechkit-v2", WRITTEN, speakers("channel-1", "channel-2"), "e03sup6d5h1qr574ht99"),
    Sample("speechkit-v1.json", "speechkit-v1", ONE),
    Sample("salutespeech.json", "salutespeech", WRITTEN, CHANNELS),
    Sample("salutespeech-sync.json", "salutespeech", ONE),
    Sample("voicekit.json", "voicekit", HEARD, CHANNELS, None, {"asr_confidence": None}),
    Sample("voicekit-stream.jsonl", "voicekit", HEARD, None, None, {"asr_confidence": 0.8}),
    Sample("aws.json", "aws", WRITTEN, speakers("spk_0", "spk_1"), "call-1001", {"language": "ru-RU"}),
    Sample("aws-channels.json", "aws", WRITTEN, CHANNELS, "call-1002", {"asr_confidence": 0.99}),
    Sample("aws-call-analytics.json", "aws-call-analytics", WRITTEN, AGENT_FIRST, "call-1003"),
    Sample("google.json", "google", WRITTEN, speakers("channel-1", "channel-2"), None, {"asr_confidence": 0.93}),
    Sample("google-speakers.json", "google", WRITTEN, speakers("speaker-1", "speaker-2")),
    Sample("google-v2.json", "google", first={"language": "ru-RU", "asr_confidence": 0.94}),
    Sample("azure.json", "azure", WRITTEN, CHANNELS, None, {"language": "ru-RU", "asr_confidence": 0.89}),
    Sample("azure-fast.json", "azure-fast", WRITTEN, speakers("speaker-1", "speaker-2"), None, {"asr_confidence": 0.9}),
    Sample("azure-short.jsonl", "azure-short", first={"asr_confidence": 0.9}),
    Sample("deepgram.json", "deepgram", WRITTEN, speakers("speaker-0", "speaker-1"), first={"language": "ru"}),
    Sample("deepgram-channels.json", "deepgram", WRITTEN, CHANNELS, "b5a5a4d0-7d8e-4f3a-9c1e-2f1d6a7b8c9d"),
    Sample("assemblyai.json", "assemblyai", WRITTEN, speakers("A", "B"), "bfc3622e-8c69-4497-9a84-fb65b30dcb07"),
    Sample("assemblyai-words.json", "assemblyai", first={"language": "ru", "asr_confidence": 0.95}),
    Sample("speechmatics.json", "speechmatics", WRITTEN, speakers("S1", "S2"), "yjbmf9kqub", {"language": "ru"}),
    Sample("table.csv", "csv", WRITTEN, AGENT_FIRST, "call-1001", {"id": "call-1001-0", "segment": 0}),
    Sample("table-texts.csv", "csv"),
    Sample("table.parquet", "parquet", WRITTEN, AGENT_FIRST, "call-1001", {"id": "p-0", "asr_confidence": 0.9}),
]


def read(file: Path, form: str | None = None, **options: Any) -> list[Transcript]:
    with TranscriptFile(str(file), form=form, for_rows=True, **options) as given:
        given.check()
        return [message.transcript for message in given.messages() if message.transcript]


@pytest.mark.parametrize("by_name", [False, True], ids=["by its content", "by name"])
@pytest.mark.parametrize("sample", SAMPLE_FILES, ids=lambda sample: sample.file)
def test_what_a_recognizer_wrote_is_read_with_the_fields_that_it_holds(sample: Sample, by_name: bool) -> None:
    with TranscriptFile(str(SAMPLES / sample.file), for_rows=True) as given:
        assert given.form.name == sample.form
    transcripts = read(SAMPLES / sample.file, sample.form if by_name else None)

    assert [transcript.text for transcript in transcripts] == sample.texts
    if sample.speakers is not None:
        assert tuple(transcript.speaker for transcript in transcripts) == sample.speakers
    if sample.session is not None:
        assert {transcript.session_id for transcript in transcripts} == {sample.session}
    first = {name: getattr(transcripts[0], name) for name in sample.first}
    assert first == sample.first


@pytest.mark.parametrize("sample", SAMPLE_FILES, ids=lambda sample: sample.file)
def test_a_file_gives_the_same_ids_each_time_and_one_to_each_transcript(sample: Sample) -> None:
    ids = [transcript.id for transcript in read(SAMPLES / sample.file)]
    assert ids == [transcript.id for transcript in read(SAMPLES / sample.file)]
    assert len(set(ids)) == len(sample.texts)
    assert None not in ids


CHANNELS_OF = {
    "aws-channels.json": (0, 1),
    "azure.json": (0, 1),
    "deepgram-channels.json": (0, 1),
    "google.json": (1, 2),
    "kaldi.ctm": ("A", "B"),
    "salutespeech.json": (0, 1),
    "speechkit-v2.json": ("1", "2"),
    "speechkit.jsonl": ("0", "1"),
    "voicekit.json": (0, 1),
}
"""Which channel has the agent, and which the customer."""


@pytest.mark.parametrize("file", CHANNELS_OF)
def test_channels_are_kept_as_attributes_and_tell_the_role(file: str) -> None:
    agent, customer = CHANNELS_OF[file]
    transcripts = read(SAMPLES / file, channel_roles=roles_by_channel(f"{agent}=agent,{customer}=customer"))
    of_role = {"agent": agent, "customer": customer}
    found = [(each.role, json.loads(each.attributes or "{}").get("channel")) for each in transcripts]
    assert {role for role, _ in found} == {"agent", "customer"}
    assert [str(channel) for _, channel in found] == [str(of_role[str(role)]) for role, _ in found]
    assert {each.role for each in read(SAMPLES / file)} == {None}


def test_words_of_kaldi_make_one_conversation_whether_they_are_sorted_by_time_or_by_channel(tmp_path: Path) -> None:
    lines = (SAMPLES / "kaldi.ctm").read_text(encoding="utf-8").splitlines(keepends=True)
    by_channel = tmp_path / "kaldi.ctm"
    by_channel.write_text("".join(sorted(lines, key=lambda line: line.split()[1])), encoding="utf-8")
    assert by_channel.read_text(encoding="utf-8").splitlines(keepends=True) != lines
    assert [(each.speaker, each.text) for each in read(by_channel)] == [
        (each.speaker, each.text) for each in read(SAMPLES / "kaldi.ctm")
    ]


def test_a_turns_start_within_the_call_is_kept_as_an_attribute() -> None:
    starts = [json.loads(each.attributes or "{}")["start"] for each in read(SAMPLES / "whisper.json")]
    assert starts == sorted(starts)
    assert len(set(starts)) == len(starts)


def test_a_call_in_one_file_is_its_turns_in_order_in_the_session_that_the_file_is_named_for() -> None:
    transcripts = read(SAMPLES / "whisper.json")
    assert [(each.session_id, each.segment, each.id) for each in transcripts] == [
        ("whisper", number, f"whisper-{number}") for number in range(5)
    ]
    assert {each.spoken_at for each in transcripts} == {None}


def test_a_moment_is_taken_from_a_table_that_gives_one() -> None:
    assert read(SAMPLES / "table.csv")[0].spoken_at == datetime(2026, 3, 2, 7, 41, 40, tzinfo=UTC)


def test_every_form_has_a_sample_and_every_sample_is_named_here() -> None:
    assert {sample.form for sample in SAMPLE_FILES} == set(NAMES)
    assert {sample.file for sample in SAMPLE_FILES} == {file.name for file in SAMPLES.iterdir()}


@pytest.mark.parametrize(
    "sample",
    [each for each in SAMPLE_FILES if each.form in {form.name for form in JSON_FORMS}],
    ids=lambda sample: sample.file,
)
def test_a_document_is_known_by_one_form_alone(sample: Sample) -> None:
    source = Source(sample.file, lambda: (SAMPLES / sample.file).open("rb"))
    documents = [document for _, document in source.documents()]
    assert [form.name for form in JSON_FORMS if all(map(form.knows, documents))] == [sample.form]


def test_the_document_names_every_form_and_every_sample() -> None:
    document = (ROOT / "docs" / "transcripts.md").read_text(encoding="utf-8")
    assert not [name for name in NAMES if f"| `{name}` |" not in document]
    assert not [sample.file for sample in SAMPLE_FILES if f"(../tests/data/forms/{sample.file})" not in document]
    assert len(LINE_FORMS) + len(JSON_FORMS) + 3 == len(set(NAMES))

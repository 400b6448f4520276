"""A file is of one form, checked to its end, and refused in one line that says what would work."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import DATA

from schemas.transcripts import decode
from worker.forms.files import TranscriptFile
from worker.forms.source import Source
from worker.forms.turn import UnreadableFile

SAMPLES = DATA / "forms"
LINE = '{"text": "да"}'


def messages(file: Path, *, for_rows: bool = False, warnings: list[str] | None = None, **options: str) -> list[str]:
    warn = (warnings if warnings is not None else []).append
    with TranscriptFile(str(file), for_rows=for_rows, warn=warn, **options) as given:
        given.check()
        return [message.value.decode() for message in given.messages()]


def texts(file: Path, **options: str) -> list[str]:
    return [json.loads(message)["text"] for message in messages(file, **options)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "given"


@contextmanager
def pipe(*parts: bytes) -> Iterator[str]:
    """Write parts into a pipe and give its path."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as stream:
            for part in parts:
                stream.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield f"/proc/self/fd/{reader}"
    finally:
        os.close(reader)
        thread.join()


@pytest.mark.parametrize("name", [{"id": "call-17"}, {"session_id": "call-17"}, {"source": "line", "id": "call-17"}])
def test_a_call_of_ours_stays_one_message_also_by_a_pipe(file: Path, name: dict[str, str]) -> None:
    call = {**name, "text": "алло да", "segments": [{"text": "алло", "start": 0, "end": 1}, {"text": "да"}]}
    file.write_text(json.dumps(call), encoding="utf-8")
    assert [json.loads(message) for message in messages(file)] == [call]
    assert TranscriptFile(str(file), for_rows=True).form.name == "jsonl"
    with pipe(json.dumps(call).encode()) as path, TranscriptFile(path, for_rows=True) as given:
        assert given.flows
        assert [json.loads(message.value) for message in given.messages()] == [call]


def test_a_recognizers_call_without_a_name_becomes_a_message_for_each_turn(file: Path) -> None:
    file.write_text('{"text": "алло да", "segments": [{"text": "алло"}, {"text": "да"}]}', encoding="utf-8")
    assert texts(file) == ["алло", "да"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"task": "sum"}', "JSON of no form that is known; its fields are `task`. Known forms: jsonl, text, "),
        ('{"text": "да", "words": [{"w": 1}]}', "JSON of no form that is known"),
        ("[]", "empty list"),
        ('["да", "нет"]', "no object of a recognizer"),
        ('{"text": "да"', "it is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('  "id": 0,\n  "seek": 0,\n', "line 1 is no plain text: it begins with a field's name. `--format text`"),
        ("алло\n  ],\n", "line 2 is no plain text: it holds the punctuation of JSON"),
        ("алло\n00:00:01,000 --> 00:00:02,000\nда\n", "line 2 is no plain text: it begins with a time"),
        ("00:12 Оператор: алло", "it begins with a time"),
        ("алло\n" + LINE, "line 2 is no plain text: it begins as JSON"),
        ("<?xml version='1.0'?>\n<text>да</text>", "it holds markup"),
        ("<!DOCTYPE html>\n<p>да</p>", "it holds markup"),
        ("start: 0.0\ntext: алло", "it begins with a field's name"),
        ("Detecting language using up to the first 30 seconds.\nда\n", "line 1 is no plain text: it is a remark"),
        ("Detected language: Russian\n[00:00.000 --> 00:04.000]  да\n", "line 1 is no plain text: it is a remark"),
        ("call-1-001 алло да", "it may be Kaldi's or plain text: say --format kaldi or --format text"),
        ("WEBVTT\n00:01.000 --> 00:02.000\nда\n", "line 2: put a blank line before the cue"),
        ("WEBVTT это формат\nда\n", "line 2: put a blank line before the cue"),
        ("WEBVTT text,speaker\nда,agent\n\nнет,agent\n", "line 2: put a blank line before the cue"),
        ("[00:12.00]Да\n[00:15.30]Нет\n", "line 1 is no plain text: it begins with a time"),
        ("2026-03-02 10:00:01 INFO алло\n", "line 1 is no plain text: it begins with a time"),
        ("SPEAKER call 1 0.48 2.1 <NA> <NA> agent <NA> <NA>", "it is the row of a table"),
        ("call-1 A agent 0.0 2.1 да нет\ncall-1 A agent 2.2 3.1 да нет\n", "it is the row of a table"),
        ("да нет (call-1-0001)\nну да (call-1-0002)\n", "it is the row of a table"),
        ("id,text,text\n1,да,нет\n", "two columns may be `text`"),
        ("id,text\n1,да,нет\n", "row 2: it has 3 cells, and the header 2"),
        ('id,text\n1,"да\n', "row 1: unexpected end of data. Is a quotation mark missing?"),
        ("start\tend\ttext\nдавно\t2\tда\n", "row 2: no time stands in the column `start`"),
        ("1\n00:00:01,000 --> 00:00:02,000\nда\n2\n00:00:03,000 --> 00:00:04,000\n", "a cue's times within a text"),
        ("1\n00:00:01,000 --> 00:00:02,000\nда\n\nнет\n", "line 5: no times"),
        (LINE + "\nалло\n", "line 2: no JSON among JSON lines"),
        ('{"result": [{"word": "да"}], "text": "да"}\n{"text": \n', "line 2: it is no JSON"),
        ('{"segments": [{"text": 5}], "language": "ru"}', "Expected `str`, got `int` - at `$.segments[0].text`"),
        ('{"segments": [{"text": "\\ud800"}], "language": "ru"}', "half of a character"),
    ],
)  # fmt: skip
def test_what_is_of_no_known_form_is_refused_in_one_line_that_says_why(content: str, said: str, file: Path) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableFile) as refusal:
        messages(file)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04" + b"\0" * 100, "an Excel workbook: save the sheet as CSV"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"RIFF\x24\x08\0\0WAVE", "audio: publish its transcript"),
        (b"\xff\xfe" + "алло".encode("utf-16-le"), "UTF-16"),
        ("алло\n".encode("cp1251"), "line 1: it is not UTF-8 (byte 0xe0 at 0). Save the file in UTF-8"),
        (b"\xd0\xb4\xd0\xb0\nabc\0def\n", "line 2: it holds a control character (0x00)"),
        (b"PAR1" + b"\0" * 100, "damaged Parquet file"),
        (b"%PDF-1.7\n1 0 obj\n", "a PDF: save its text"),
        (b"ID3 3\nabc\n", "audio: publish its transcript"),
    ],
)
def test_binary_files_and_other_encodings_are_refused_with_the_remedy_from_pipes_too(
    content: bytes, said: str, file: Path
) -> None:
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r".") as refusal:
        messages(file)
    assert said in str(refusal.value)
    with pipe(content) as path, pytest.raises(UnreadableFile, match=r".") as of_pipe:
        messages(Path(path))
    assert said in str(of_pipe.value)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "ну наконец то",
            '"да"',
            "112",
            "null",
            "алло {да}",
            "да [смех]",
            "[смех] ну ладно",
            "[музыка]",
            "<unk> да",
            "…",
        ),
        "в 10:30 приехали",
        "он сказал: да",
        "iphone 14 сломался",
        "id у меня есть",
        "да, [5] штук",
        'он: "да", она: "нет"',
        'Смотрел "Аватар", "Титаник"',
        'Кнопка "Оплатить": 3 раза',
        "[смех], [шум]",
        "<unk>",
    ],
)
def test_a_line_of_speech_is_a_text_as_it_stands(line: str, file: Path) -> None:
    file.write_text(f"  {line} \n\n алло\n", encoding="utf-8")
    assert messages(file) == [
        json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")) for text in (line, "алло")
    ]


@pytest.mark.parametrize(
    "text", ['Смотрел "Аватар", "Титаник"', "[смех], [шум]", 'Кнопка "OK": 3 раза', "<unk>", "</b>", "в 10:30.5 --> 11"]
)
def test_a_string_of_json_is_a_text_whose_structure_is_proved(text: str, file: Path) -> None:
    own = [{"text": text}, {"text": "да"}]
    whisper = {"language": "ru", "segments": [{"text": text}, {"text": "да"}]}
    for document in ("\n".join(map(json.dumps, own)), json.dumps(whisper)):
        file.write_text(document, encoding="utf-8")
        assert texts(file) == [text, "да"]


@pytest.mark.parametrize("first", [{"id": 0}, {}, {"id": 0, "speaker": "A"}])
def test_a_list_of_segments_with_times_is_one_call(first: dict[str, object], file: Path) -> None:
    segments = [{**first, "start": at, "end": at + 1.0, "text": text} for at, text in enumerate(["алло", "да"])]
    file.write_text(json.dumps(segments), encoding="utf-8")
    found = [json.loads(message) for message in messages(file, for_rows=True)]
    assert [(each["id"], each["text"], each["session_id"]) for each in found] == [
        ("given-0", "алло", "given"),
        ("given-1", "да", "given"),
    ]


def test_messages_of_ours_may_have_times(file: Path) -> None:
    lines = [{"id": f"c-{at}", "start": at, "end": at + 1, "text": "да", "session_id": "c"} for at in range(2)]
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    assert [json.loads(message) for message in messages(file, for_rows=True)] == lines


def test_a_message_without_a_word_is_one_of_ours(file: Path) -> None:
    file.write_text('{"text": " "}\n{"text": "да"}\n', encoding="utf-8")
    assert [text.strip() for text in texts(file)] == ["", "да"]


def test_a_word_that_kaldi_did_not_know_is_a_text(file: Path) -> None:
    file.write_text("call-1-001 алло\ncall-1-002 <unk>\n", encoding="utf-8")
    assert texts(file) == ["алло", "<unk>"]


def test_every_line_is_speech_where_the_format_says_text(file: Path) -> None:
    file.write_text('"id": 0,\n00:00:01,000 --> 00:00:02,000\n', encoding="utf-8")
    assert texts(file, form="text") == ['"id": 0,', "00:00:01,000 --> 00:00:02,000"]


def test_a_format_that_is_not_known_is_refused_with_those_that_are(file: Path) -> None:
    file.write_text("алло", encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"--format whisperer is not known\. Known forms: jsonl, text, "):
        messages(file, form="whisperer")


@pytest.mark.parametrize(
    "sample", ["ours.jsonl", "whisper.json", "whisper.srt", "table.csv", "plain.txt", "vosk-indented.json"]
)
def test_a_byte_order_mark_is_taken_off(sample: str, file: Path) -> None:
    content = (SAMPLES / sample).read_bytes()
    file.write_bytes(b"\xef\xbb\xbf" + content)
    assert texts(file) == texts(SAMPLES / sample)


def test_our_json_lines_stay_as_they_are_but_for_the_id(file: Path) -> None:
    lines = ['{"id": "c-1", "text": "да",  "more": [1, 2]}', '{"text": "да", "attributes": {"queue": "доставка"}}']
    file.write_text("\n".join(lines), encoding="utf-8")
    assert messages(file) == lines
    kept, named = messages(file, for_rows=True)
    assert kept == lines[0]
    assert json.loads(named) == {"id": json.loads(named)["id"], **json.loads(lines[1])}


def test_a_segment_of_whisper_keeps_its_number_as_the_place_in_its_call(file: Path) -> None:
    segment = {"id": 12, "start": 1.0, "end": 2.0, "text": "да", "avg_logprob": -0.2, "no_speech_prob": 0.1}
    file.write_text(LINE + "\n" + json.dumps(segment), encoding="utf-8")
    (_, message) = messages(file, for_rows=True)
    read = decode(message.encode(), timestamp_ms=0)
    assert (read.segment, read.id) == (12, json.loads(message)["id"])


def test_lines_without_ids_get_some_of_the_files_content_so_that_publishing_it_again_doubles_nothing(
    file: Path,
) -> None:
    file.write_text("да\nда\nнет\n", encoding="utf-8")
    ids = [json.loads(message)["id"] for message in messages(file, for_rows=True)]
    assert ids == [json.loads(message)["id"] for message in messages(file, for_rows=True)]
    assert len(set(ids)) == 3
    file.write_text("да\nда\nконечно\n", encoding="utf-8")
    assert not {json.loads(message)["id"] for message in messages(file, for_rows=True)} & set(ids)


@pytest.mark.parametrize("name", ["seg_000", "0", "17", "9999", "10000", "123456789", "utterance-3", "SEG 4"])
def test_an_id_that_counts_within_a_file_has_the_session_before_it_with_one_warning(name: str, file: Path) -> None:
    lines = [{"id": name, "text": "да", "session_id": session} for session in ("call-1", "call-2")]
    file.write_text("\n".join(map(json.dumps, [*lines, {"id": name, "text": "да"}])), encoding="utf-8")
    warnings: list[str] = []
    found = [json.loads(message)["id"] for message in messages(file, warnings=warnings)]
    assert found == [f"call-1-{name}", f"call-2-{name}", f"given-{name}"]
    assert len(warnings) == 1
    assert f"call-1-{name}" in warnings[0]


@pytest.mark.parametrize("name", ["c-1002-02", "5f0c1d", "79161234567", "call-1-seg_000", "звонок-1"])
def test_an_id_that_may_be_of_the_world_stays(name: str, file: Path) -> None:
    file.write_text(json.dumps({"id": name, "text": "да", "session_id": "call-1"}), encoding="utf-8")
    assert [json.loads(message)["id"] for message in messages(file)] == [name]


def test_two_calls_with_the_same_ids_in_two_tables_keep_all_their_rows(tmp_path: Path) -> None:
    found = []
    for call in ("call-1", "call-2"):
        table = tmp_path / f"{call}.csv"
        table.write_text("id,speaker,text\nseg_000,agent,алло\nseg_001,customer,да\n", encoding="utf-8")
        found += [json.loads(message)["id"] for message in messages(table)]
    assert found == ["call-1-seg_000", "call-1-seg_001", "call-2-seg_000", "call-2-seg_001"]


def test_a_file_whose_name_many_folders_have_is_named_with_its_folder(tmp_path: Path) -> None:
    found = set()
    for folder in ("call-1", "call-2"):
        (tmp_path / folder).mkdir()
        audio = tmp_path / folder / "audio.wav.json"
        audio.write_bytes((SAMPLES / "whisper.json").read_bytes())
        found |= {json.loads(message)["session_id"] for message in messages(audio)}
    assert found == {"call-1-audio", "call-2-audio"}


@pytest.mark.parametrize("name", ["1.json", "17.wav.json", "export.json", "segments.json"])
def test_a_file_whose_name_only_counts_or_is_general_is_named_with_its_folder(name: str, tmp_path: Path) -> None:
    found = set()
    for folder in ("march", "april"):
        (tmp_path / folder).mkdir()
        call = tmp_path / folder / name
        call.write_bytes((SAMPLES / "whisper.json").read_bytes())
        found |= {json.loads(message)["session_id"] for message in messages(call)}
    assert found == {f"{folder}-{name.split('.', maxsplit=1)[0]}" for folder in ("march", "april")}


def test_two_calls_by_pipes_of_one_path_have_sessions_of_their_own_which_last() -> None:
    srt = (SAMPLES / "whisper.srt").read_bytes()
    found = []
    for content in (srt, srt + b"\n", srt):
        with pipe(content) as path:
            (session,) = {json.loads(message)["session_id"] for message in messages(Path(path))}
        found.append(session)
    assert found[0] == found[2] != found[1]
    assert all(session.startswith("stdin-") for session in found)


def test_a_call_from_a_file_by_its_descriptor_is_named_by_its_content(file: Path) -> None:
    file.write_bytes((SAMPLES / "whisper.srt").read_bytes())
    with file.open("rb") as stream:
        found = messages(Path(f"/proc/self/fd/{stream.fileno()}"))
    assert json.loads(found[0])["session_id"].startswith("stdin-")


def test_a_session_can_be_given(file: Path) -> None:
    file.write_bytes((SAMPLES / "whisper.srt").read_bytes())
    assert {json.loads(message)["session_id"] for message in messages(file, session="call-5")} == {"call-5"}


@pytest.mark.parametrize("content", ["алло\n", LINE, "text\nалло\n"])
def test_a_session_that_is_given_is_that_of_lines_too_which_name_none(content: str, file: Path) -> None:
    file.write_text(content, encoding="utf-8")
    assert {json.loads(message)["session_id"] for message in messages(file, session="call-5")} == {"call-5"}
    assert "session_id" not in json.loads(messages(file)[0])


def test_several_calls_in_one_file_are_several_sessions(file: Path) -> None:
    document = json.dumps(json.loads((SAMPLES / "whisper.json").read_text(encoding="utf-8")))
    file.write_text(f"{document}\n{document}\n", encoding="utf-8")
    sessions = [json.loads(message)["session_id"] for message in messages(file)]
    assert sessions == ["given"] * 5 + ["given-2"] * 5


def test_a_bad_line_is_found_before_anything_is_given(file: Path) -> None:
    lines = [b'{"text": "\xd0\xb4\xd0\xb0"}'] * 1_000
    lines[600] = b'{"text": "\xd0\xb4\xd0"}'
    file.write_bytes(b"\n".join(lines))
    with (
        TranscriptFile(str(file), for_rows=True) as given,
        pytest.raises(UnreadableFile, match="line 601: it is not UTF-8"),
    ):
        given.check()


def test_what_holds_no_transcript_is_left_for_the_worker_with_one_warning_or_refused(file: Path) -> None:
    lines = [LINE, '{"text": 112}', '["алло"]', '{"text": "да']
    file.write_text("\n".join(lines), encoding="utf-8")
    warnings: list[str] = []
    assert messages(file, for_rows=True, warnings=warnings)[1:] == lines[1:]
    assert warnings == ["3 messages hold no transcript, the first at line 2: the worker will refuse them"]
    with pytest.raises(UnreadableFile, match="line 2 holds no transcript: Expected `str`, got `int`"):
        messages(file)


def test_a_file_in_which_no_message_holds_a_transcript_is_refused(file: Path) -> None:
    file.write_text('{"text": 112, "id": "a"}\n["алло"]\n', encoding="utf-8")
    with pytest.raises(UnreadableFile, match="no message holds a transcript; of line 1: Expected `str`, got `int`"):
        messages(file, form="jsonl", for_rows=True)


@pytest.mark.parametrize(
    ("first", "second"), [("/a/1.wav", "/b/1.wav"), (r"C:\a\1.wav", r"C:\b\1.wav"), ("1.wav", "1.mp3")]
)
def test_recordings_of_one_name_in_a_manifest_are_several_calls(file: Path, first: str, second: str) -> None:
    paths = [first, second, first, "/c/2.wav"]
    lines = [json.dumps({"audio_filepath": path, "duration": 1, "pred_text": "да"}) for path in paths]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert [json.loads(message)["id"] for message in messages(file)] == [
        f"{first}-0",
        f"{second}-0",
        f"{first}-1",
        "2-0",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "1\n00:00:01,000 --> 00:00:02,000\n(speaker 0) да\n\n2\n00:00:02,000 --> 00:00:03,000\n(speaker ?) нет\n",
        "WEBVTT\nKind: x\n\n00:01.000 --> 00:02.000\n<v Speaker0>да\n\n00:02.000 --> 00:03.000\n<v Speaker?>нет\n",
        "[00:00.000 --> 00:01.000]  (speaker 0) да\n[00:01.000 --> 00:02.000]  (speaker ?) нет\n",
        "(speaker 0) да\n(speaker ?) нет\n",
        "start,end,speaker,text\n0,1000,0,да\n1000,2000,?,нет\n",
    ],
    ids=["srt", "vtt", "log", "txt", "csv"],
)
def test_speakers_are_read_as_whisper_cpp_writes_them(content: str, file: Path) -> None:
    file.write_text(content, encoding="utf-8")
    found = [json.loads(message) for message in messages(file)]
    assert [(message["text"], message.get("speaker")) for message in found] == [("да", "speaker-0"), ("нет", None)]


def test_messages_of_one_id_are_told_of_since_the_later_replaces_the_earlier(file: Path) -> None:
    file.write_text("id,text\nc-1,да\nc-2,да\nc-1,нет\n", encoding="utf-8")
    warnings: list[str] = []
    assert len(messages(file, warnings=warnings)) == 3
    assert warnings == ["1 messages have an earlier one's id, the first at row 4: they replace it"]


@pytest.mark.parametrize("name", ["calls.csv", "call.json", "call.srt", "call.md"])
def test_a_file_whose_name_says_that_it_is_no_text_is_none(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("a,b\nда,нет\n", encoding="utf-8")
    with pytest.raises(UnreadableFile, match="`--format text` takes every line for speech"):
        messages(file)
    assert texts(file, form="text") == ["a,b", "да,нет"]


def test_a_table_is_known_by_one_column_where_its_rows_have_as_many_cells(file: Path) -> None:
    file.write_text("Оператор;Текст\nИванов;алло\n", encoding="utf-8")
    assert texts(file) == ["алло"]
    file.write_text("текст, говорю\nну, да, ладно\n", encoding="utf-8")
    assert texts(file) == ["текст, говорю", "ну, да, ладно"]


def test_an_empty_file_holds_no_message(file: Path) -> None:
    file.write_text("\n \n", encoding="utf-8")
    assert messages(file) == []


@pytest.mark.parametrize("line", [LINE, "ну наконец то", '{"text": "да", "result": [{"conf": 1.0, "word": "да"}]}'])
def test_a_pipe_of_lines_is_read_as_it_comes(line: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, f"{line}\n".encode())
    with TranscriptFile(f"/proc/self/fd/{reader}", for_rows=True) as given:
        given.check()
        first = next(given.messages())
    os.close(writer)
    os.close(reader)
    assert first.transcript
    assert first.transcript.id is None


@pytest.mark.parametrize("sample", ["whisper.srt", "whisper.json", "vosk-indented.json", "table.csv", "table.parquet"])
def test_a_pipe_of_another_form_is_read_to_its_end_first(sample: str) -> None:
    with pipe((SAMPLES / sample).read_bytes()) as path:
        assert texts(Path(path)) == texts(SAMPLES / sample)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_pipe_without_a_line_holds_no_message(content: bytes) -> None:
    with pipe(content) as path:
        assert messages(Path(path)) == []


def test_a_pipe_of_our_json_in_any_layout_is_read_by_name_too() -> None:
    with pipe((SAMPLES / "ours.json").read_bytes()) as path:
        assert texts(Path(path), form="jsonl") == texts(SAMPLES / "ours.json")


def test_a_pipe_of_text_may_hold_any_space() -> None:
    with pipe("ну\u00a0да\n".encode()) as path, TranscriptFile(path, for_rows=True) as given:
        assert given.flows


def test_a_pipe_of_what_whisper_prints_publishes_none_of_its_remarks() -> None:
    printed = "Detected language: Russian\n[00:00.000 --> 00:04.000]  да\n".encode()
    with pipe(printed) as path, pytest.raises(UnreadableFile, match="line 1 is no plain text: it is a remark"):
        messages(Path(path), for_rows=True)


def test_partial_results_in_a_pipe_of_vosk_are_passed_over() -> None:
    content = '{"text": "да"}\n{"partial": "не"}\n{"partial": "нет", "partial_result": []}\n{"text": "нет"}\n'
    with pipe(content.encode()) as path:
        assert texts(Path(path)) == ["да", "нет"]


def test_documents_one_after_the_other_are_named_by_the_lines_on_which_they_begin(file: Path) -> None:
    file.write_text('{\n"text": "да"\n}\n\n{\n"text": "нет"} {"text": "ну"}\n{"text": "вот"\n}', encoding="utf-8")
    source = Source("given", lambda: file.open("rb"))
    assert [place for place, _ in source.documents()] == ["line 1", "line 5", "line 6", "line 7"]


def test_a_cues_settings_may_hold_colons_and_a_line_of_many_is_refused_at_once(file: Path) -> None:
    file.write_text("1\n00:00:01,000 --> 00:00:02,000 X1:40 X2:60 a:b:c\nда\n", encoding="utf-8")
    assert texts(file) == ["да"]
    settings = " a:b:c" * 10_000
    file.write_text(f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000{settings} !\nда\n", encoding="utf-8")
    with pytest.raises(UnreadableFile, match="line 3: no times"):
        messages(file)


def phrase(text: str, start: int, tag: int | None) -> dict[str, object]:
    speaker = {} if tag is None else {"speakerTag": tag}
    words = [
        {"word": word, "startTime": f"{start + at}s", "endTime": f"{start + at + 1}s", **speaker}
        for at, word in enumerate(text.split())
    ]
    return {"alternatives": [{"transcript": text, "words": words}]}


@pytest.mark.parametrize(
    ("phrases", "said"),
    [
        ([("алло да", 0, 1), ("я жду", 5, 2), ("хорошо", 9, 1)], ["алло да", "я жду", "хорошо"]),
        ([("алло да", 0, None), ("я жду", 5, None), ("хорошо", 9, 1)], ["алло да", "я жду", "хорошо"]),
        ([("алло да", 0, None), ("хорошо", 9, None), ("алло да хорошо", 0, 1)], ["алло да хорошо"]),
    ],
)
def test_no_phrase_of_google_is_lost_where_words_name_speakers(
    phrases: list[tuple[str, int, int | None]], said: list[str], file: Path
) -> None:
    file.write_text(json.dumps({"results": [phrase(*each) for each in phrases]}), encoding="utf-8")
    assert texts(file) == said


@pytest.mark.parametrize(
    "content",
    [
        'text,speaker\n"Алло,A\nда",B\nвсё,A\n',
        'id,text\n1,"Алло\n2,да"\n3,всё\n',
        'text;speaker\n"Алло;A\nхорошо;B\nда";A\n',
    ],
)
def test_rows_that_a_lone_quotation_mark_would_make_one_are_refused(content: str, file: Path) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableFile, match="a quotation mark is missing or stands in a text"):
        messages(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('text\tspeaker\n"Алло\tA\nда"\tB\nвсё\tA\n', ['"Алло', 'да"', "всё"]),
        ('text\tspeaker\n"Да" сказал\tA\n', ['"Да" сказал']),
        ('text\tspeaker\n"он ""да"", я\tнет"\tA\nвсё\tB\n', ['он "да", я нет', "всё"]),
        ('text,speaker\n"Да, конечно\n5,5 рублей",A\n', ["Да, конечно 5,5 рублей"]),
    ],
)
def test_quotation_marks_of_speech_and_of_tables_are_told_apart(content: str, said: list[str], file: Path) -> None:
    file.write_text(content, encoding="utf-8")
    assert texts(file) == said


def test_a_pipe_that_turns_into_something_else_says_where() -> None:
    with pipe("алло\n".encode() * 3, b'{"id": 0,\n') as path, TranscriptFile(path, for_rows=True) as given:
        found = given.messages()
        assert [next(found).transcript for _ in range(3)]
        with pytest.raises(UnreadableFile, match="line 4 is no plain text: it begins as JSON"):
            next(found)

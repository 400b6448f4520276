"""All forms that are known, and which of them a file has."""

from itertools import islice
from pathlib import PurePath
from typing import Any, Final

from worker.forms.assemblyai import ASSEMBLYAI
from worker.forms.aws import AWS, AWS_CALLS
from worker.forms.azure import AZURE, AZURE_FAST, AZURE_SHORT
from worker.forms.deepgram import DEEPGRAM
from worker.forms.faster_whisper import FASTER_WHISPER
from worker.forms.gigaam import GIGAAM
from worker.forms.google import GOOGLE
from worker.forms.json_form import JsonForm, names_of
from worker.forms.kaldi import CTM, KALDI
from worker.forms.kaldi_server import KALDI_SERVER
from worker.forms.line_form import LineForm
from worker.forms.nemo import NEMO
from worker.forms.own import OWN, OwnForm, knows_ours
from worker.forms.parquet import PARQUET
from worker.forms.plain import PLAIN, TEXT_AS_IT_IS
from worker.forms.salutespeech import SALUTESPEECH
from worker.forms.source import Source
from worker.forms.speechkit import SPEECHKIT, SPEECHKIT_V1, SPEECHKIT_V2
from worker.forms.speechmatics import SPEECHMATICS
from worker.forms.subtitles import SPOKEN, SRT, VTT, WHISPER_PRINTED
from worker.forms.tables import CSV
from worker.forms.transformers_pipeline import TRANSFORMERS
from worker.forms.turn import UnreadableFile
from worker.forms.voicekit import VOICEKIT
from worker.forms.vosk import VOSK, VOSK_TRANSCRIBER
from worker.forms.whisper import WHISPER
from worker.forms.whisper_cpp import WHISPER_CPP
from worker.forms.whisperx import WHISPERX

JSON_FORMS: Final[tuple[JsonForm[Any], ...]] = (
    WHISPER,
    WHISPER_CPP,
    FASTER_WHISPER,
    WHISPERX,
    TRANSFORMERS,
    VOSK,
    VOSK_TRANSCRIBER,
    KALDI_SERVER,
    NEMO,
    GIGAAM,
    SPEECHKIT,
    SPEECHKIT_V2,
    SPEECHKIT_V1,
    SALUTESPEECH,
    VOICEKIT,
    AWS,
    AWS_CALLS,
    GOOGLE,
    AZURE,
    AZURE_FAST,
    AZURE_SHORT,
    DEEPGRAM,
    ASSEMBLYAI,
    SPEECHMATICS,
)
LINE_FORMS: Final[tuple[LineForm, ...]] = (VTT, SRT, WHISPER_PRINTED, SPOKEN, CTM, CSV, KALDI)
"""In the order in which a file is compared with them."""

Known = JsonForm[Any] | LineForm | OwnForm

NAMES: Final = (
    OWN.name,
    PLAIN.name,
    PARQUET.name,
    *(form.name for form in LINE_FORMS),
    *(form.name for form in JSON_FORMS),
)

_HEAD: Final = 20
"""Number of lines or documents that make a form known; what follows is held to it."""

_FOREIGN: Final = {
    b"\x1f\x8b": "compressed by gzip: decompress it first",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"RIFF": "audio: publish its transcript",
    b"OggS": "audio: publish its transcript",
    b"ID3": "audio: publish its transcript",
    b"fLaC": "audio: publish its transcript",
    b"%PDF": "a PDF: save its text",
}


_NO_TEXT: Final = {
    f".{name}"
    for name in [
        "ass",
        "csv",
        "ctm",
        "htm",
        "html",
        "json",
        "jsonl",
        "lrc",
        "md",
        "rttm",
        "srt",
        "stm",
        "tsv",
        "ttml",
        "vtt",
        "xml",
        "yaml",
    ]
}
"""Endings of files that hold no plain text, even where they look like it."""


def by_name(name: str) -> Known:
    """Return the form that `--format` names.

    Raises:
        UnreadableFile: there is none of that name.
    """
    every: tuple[Known, ...] = (OWN, TEXT_AS_IT_IS, PARQUET, *LINE_FORMS, *JSON_FORMS)
    for form in every:
        if form.name == name:
            return form
    raise UnreadableFile(f"--format {name} is not known. Known forms: {', '.join(NAMES)}")


def form_of(source: Source) -> Known:
    """Return the form that a file has.

    Raises:
        UnreadableFile: it has none that is known, or may be of several.
    """
    with source.opened() as stream:
        magic = stream.read(4)
    if magic == b"PAR1":
        return PARQUET
    if said := why_foreign(magic):
        raise UnreadableFile(f"{source.name} is {said}")
    head = [line for _, line in islice(source.lines(), _HEAD)]
    if not head:
        return PLAIN
    for form in LINE_FORMS:
        if form.knows(head):
            if form is KALDI and len(head) == 1:
                raise UnreadableFile(
                    f"{source.name}, line 1: it may be Kaldi's or plain text: say --format kaldi or --format text"
                )
            return form
    if head[0].startswith("{") or (head[0].startswith("[") and not _is_tag(head[0])):
        return _json_form(source)
    _require_text(source, head)
    return PLAIN


def why_foreign(beginning: bytes) -> str | None:
    """Return why a file that begins so holds no transcripts; None where it may."""
    return next((said for magic, said in _FOREIGN.items() if beginning.startswith(magic)), None)


def _is_tag(line: str) -> bool:
    """Whether a line begins with a recognizer's remark such as `[смех]`, or with a time, and not with JSON."""
    tag = line[1:].partition("]")
    return bool(tag[1]) and (any(map(str.isalpha, tag[0])) or ":" in tag[0]) and not set(tag[0]) & set('[{"')


def _json_form(source: Source) -> Known:
    documents: list[dict[str, Any]] = []
    try:
        for _, document in islice(source.documents(), _HEAD):
            documents.append(document)
    except UnreadableFile:
        if not documents:
            raise
    if not documents:
        raise UnreadableFile(f"{source.name} is an empty list: there is nothing to publish")
    if all(map(knows_ours, documents)) or (knows_ours(documents[0]) and not _fitting(documents)):
        return OWN
    fitting = _fitting(documents) or _fitting(documents[:1])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UnreadableFile(
            f"{source.name} may be {' or '.join(form.name for form in fitting)}: say which by --format"
        )
    raise UnreadableFile(
        f"{source.name}, line 1: JSON of no form that is known; its fields are {names_of(documents[0])}. Known forms: "
        f'{", ".join(NAMES)}; name one by --format, or write lines such as {{"text": "…"}}'
    )


def _fitting(documents: list[dict[str, Any]]) -> list[JsonForm[Any]]:
    return [form for form in JSON_FORMS if all(map(form.knows, documents))]


def _require_text(source: Source, head: list[str]) -> None:
    """Refuse what is no plain text by its lines or by its name."""
    if not PLAIN.knows(head):
        # The reason stands with the line, when it is read.
        _refuse_unknown(source)
    if (suffix := PurePath(source.name).suffix.lower()) in _NO_TEXT:
        raise UnreadableFile(
            f"{source.name}, line 1: no {suffix[1:]} that is known, and no text by its name. A table names its columns "
            "in the first line, one of them `text`; `--format text` takes every line for speech"
        )


def _refuse_unknown(source: Source) -> None:
    try:
        for _ in PLAIN.turns(source):
            pass
    except UnreadableFile as error:
        raise UnreadableFile(f"{error}. Known forms: {', '.join(NAMES)}; name one by --format") from error

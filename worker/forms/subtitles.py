"""Subtitles: SRT, WebVTT, and the lines that Whisper, whisper.cpp (`[00:00.000 --> 00:04.000]`) and WhisperX print.

They are read here and by no library, since those that there are pass over what they do not understand, or take it for
a cue's text.
"""

import html
import re
from collections.abc import Iterator
from typing import Final

from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.turn import Turn, UnreadableFile, speaker_name

_CLOCK: Final = r"(?:(\d{1,3}):)?(\d{1,2}):(\d\d)[.,](\d{1,3})"
_TIMES: Final = re.compile(rf"{_CLOCK}\s*-->\s*{_CLOCK}(\s+[^\s:]+:\S+)*")
_PRINTED: Final = re.compile(rf"\[{_CLOCK}\s*-->\s*{_CLOCK}\](.*)")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^}]*\}")
_SPEAKER: Final = re.compile(r"\[?((?:SPEAKER|Speaker|speaker)[ _]\w{1,10})\]?:\s*|\(speaker ([01?])\)\s*")
"""As WhisperX names speakers, and whisper.cpp by `-di`."""

_CPP_VOICE: Final = re.compile(r"Speaker([01?])")
_METADATA: Final = re.compile(r"[A-Za-z][\w-]*\s*[:=]")
"""What may follow WebVTT's first line, such as `Kind: captions`."""
_COMMENTS: Final = ("NOTE", "STYLE", "REGION")

_Block = list[tuple[int, str]]
"""Lines without a blank one among them, with their numbers."""


def _blocks(source: Source) -> Iterator[_Block]:
    block: _Block = []
    for number, line in source.all_lines():
        if line.strip():
            block.append((number, line.strip()))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _cue(source: Source, block: _Block) -> Iterator[tuple[str, int | None, Turn]]:
    """Yield the turns of a cue: one, or one for each voice."""
    timed = next((at for at, (_, line) in enumerate(block[:2]) if _TIMES.fullmatch(line)), None)
    number = block[0][0]
    if timed is None:
        raise UnreadableFile(
            f"{source.name}, line {number}: no times `00:00:01,000 --> 00:00:02,000` where a cue should begin. Is a "
            "blank line within a text, or one missing before a cue?"
        )
    found = _TIMES.fullmatch(block[timed][1])
    for at, line in block[timed + 1 :]:
        if "-->" in line:
            raise UnreadableFile(f"{source.name}, line {at}: a cue's times within a text: put a blank line before it")
    text = "\n".join(line for _, line in block[timed + 1 :])
    first, *voices = _VOICE.split(text)
    spoken = [(None, first), *zip(voices[::2], voices[1::2], strict=True)]
    for voice, words in spoken:
        plain = html.unescape(_TAG.sub("", words)).strip()
        if plain:
            yield f"line {number}", 0, _turn(plain, found, voice)


def _turn(text: str, found: re.Match[str] | None, voice: str | None = None) -> Turn:
    named = _SPEAKER.match(text)
    hours, minutes, whole, part = found.groups()[:4] if found else (None, "0", "0", "0")
    return Turn(
        text=" ".join((text[named.end() :] if named else text).split()),
        start=int(hours or 0) * 3600 + int(minutes) * 60 + int(whole) + float(f"0.{part}"),
        speaker=_name(voice or (named[1] or named[2] if named else None)),
    )


def _name(speaker: str | None) -> str | None:
    """Return a speaker's name; whisper.cpp counts speakers from 0 in each of its outputs."""
    counted = _CPP_VOICE.fullmatch(speaker) if speaker else None
    return speaker_name(counted[1] if counted else speaker)


def _read_srt(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for block in _blocks(source):
        yield from _cue(source, block)


def _read_vtt(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, block in enumerate(_blocks(source)):
        if not number and (odd := next((at for at, line in block[1:] if not _METADATA.match(line)), None)):
            raise UnreadableFile(
                f"{source.name}, line {odd}: put a blank line before the cue; if this is no WebVTT, change line 1"
            )
        if number and block[0][1].split()[0] not in _COMMENTS:
            yield from _cue(source, block)
        elif timed := next((at for at, line in block if "-->" in line), None):
            raise UnreadableFile(f"{source.name}, line {timed}: put a blank line before the cue, and one after it")


def _read_printed(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, line in source.lines():
        found = _PRINTED.fullmatch(line)
        if not found:
            raise UnreadableFile(f"{source.name}, line {number}: no times `[00:00.000 --> 00:04.000]` begin the line")
        yield f"line {number}", 0, _turn(found.groups()[-1].strip(), found)


def _read_spoken(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, line in source.lines():
        found = _SPEAKER.match(line)
        if not found:
            raise UnreadableFile(f"{source.name}, line {number}: no speaker `[SPEAKER_00]:` begins the line")
        yield f"line {number}", 0, Turn(text=line[found.end() :], speaker=_name(found[1] or found[2]))


def _knows_srt(head: list[str]) -> bool:
    return bool(_TIMES.fullmatch(head[1 if head[0].isdecimal() and len(head) > 1 else 0]))


SRT = LineForm("srt", _knows_srt, _read_srt)
VTT = LineForm("vtt", lambda head: head[0].split()[0] == "WEBVTT", _read_vtt)
SPOKEN = LineForm("whisperx-txt", lambda head: all(map(_SPEAKER.match, head)), _read_spoken)
WHISPER_PRINTED = LineForm("whisper-log", lambda head: bool(_PRINTED.fullmatch(head[0])), _read_printed)

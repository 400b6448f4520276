"""Kaldi: `text`, a line `utterance words` each, and CTM, a line for each word."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from worker.forms.line_form import LineForm
from worker.forms.source import Source
from worker.forms.speech import is_timed_row
from worker.forms.turn import Turn, UnreadableFile, in_channel, in_time, share, speaker_name
from worker.forms.words import Word, turns_of

_LINE: Final = re.compile(r"((?!\d{4}-\d\d-\d\d)(?=[^\s]*\d)(?=[^\s]*[-_])[A-Za-z0-9][\w.:/-]*)(?:\s+(.*))?", re.ASCII)
_CTM: Final = re.compile(r"(\S+)\s+(\S+)\s+(\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?)\s+(\S+)(?:\s+(\d+(?:\.\d+)?))?")
_PLACE: Final = re.compile(r"[-_]\d{5,}[-_]\d{5,}$|[-_]\d+$")
"""What follows the call in the names of Kaldi's recipes: begin and end, or a number."""


def _read_text(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for number, line in source.lines():
        found = _LINE.fullmatch(line)
        if not found:
            raise UnreadableFile(
                f"{source.name}, line {number}: no utterance's name such as call-1-0001 begins the line"
            )
        if found[2]:
            session = _PLACE.sub("", found[1]) or found[1]
            yield f"line {number}", 0, Turn(text=found[2], id=found[1], session=session)


def _knows_text(head: list[str]) -> bool:
    return all(_LINE.fullmatch(line) and not is_timed_row(line) for line in head)


def _read_ctm(source: Source) -> Iterator[tuple[str, int | None, Turn]]:
    for recording, group in groupby(_words(source), key=lambda entry: entry[1][0]):
        # A file may be sorted by channel, or by time.
        of_channel: dict[str, list[Word]] = {}
        entries = list(group)
        for _, (_, channel), word in entries:
            of_channel.setdefault(channel, []).append(word)
        turns = [in_channel(turn, channel) for channel, words in of_channel.items() for turn in turns_of(words)]
        for turn in in_time(turns):
            turn.session = recording
            turn.speaker = speaker_name(None, turn.channel)
            yield f"line {entries[0][0]}", 0, turn


def _words(source: Source) -> Iterator[tuple[int, tuple[str, str], Word]]:
    for number, line in source.lines():
        if line.startswith(";;"):
            continue
        found = _CTM.fullmatch(line)
        if not found:
            raise UnreadableFile(
                f"{source.name}, line {number}: a line of CTM is `recording channel start duration word`, with a "
                "confidence at most"
            )
        start = float(found[3])
        confidence = share(float(found[6])) if found[6] else None
        word = Word(text=found[5], start=start, end=start + float(found[4]), confidence=confidence)
        yield number, (found[1], found[2]), word


def _knows_ctm(head: list[str]) -> bool:
    return all(_CTM.fullmatch(line) or line.startswith(";;") for line in head)


KALDI = LineForm("kaldi", _knows_text, _read_text)
CTM = LineForm("ctm", _knows_ctm, _read_ctm)

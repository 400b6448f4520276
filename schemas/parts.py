"""How a message that holds more than a model reads at once becomes several transcripts, each with a row."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from msgspec.structs import replace

from schemas.attributes import with_channel
from schemas.transcripts import Transcript

MAX_WORDS: Final = 64
"""Words of a part.

Of the calls corpus, cut into 5,313 runs of 64 words, the longest has 122 of the 128 tokens that the released models
read. Source: training/data/calls, tokenized by models/ru-emotions-small.
"""

_SHORT_CHARACTERS: Final = 2 * MAX_WORDS
"""A text of fewer characters has no more than MAX_WORDS words."""

Cut = Literal["segment", "sentence", "words"]

_WORD: Final = re.compile(r"\S+")
_ENDS_SENTENCE: Final = re.compile(r"""[.?!…]["'»”’)\]]*$""")


class Part(NamedTuple):
    """A part of a message.

    Attributes:
        transcript: a transcript of its own, with the part's text, id and place; without an id where the message has
            none.
        number: counts the parts of the message from 1.
        cut: where the part begins and ends: with a segment, with a sentence, or between words; None for a text that
            is not cut.
    """

    transcript: Transcript
    number: int
    cut: Cut | None


def is_whole(transcript: Transcript) -> bool:
    """Whether a transcript is one part as it is; most are, so this is cheaper than to cut them."""
    text = transcript.text
    return not transcript.segments and (len(text) < _SHORT_CHARACTERS or len(text.split()) <= MAX_WORDS)


def parts_of(transcript: Transcript) -> list[Part]:
    """Return the parts of a message in order, always the same ones, at least one.

    Segments stay apart. A longer segment or text is cut at the ends of sentences, and a sentence of more than
    MAX_WORDS into nearly equal runs of words. The words of all parts in a row are those of the message.
    """
    name = transcript.id
    return [
        Part(replace(part, id=name and part_id(name, number)), number, cut)
        for number, (part, cut) in enumerate(_cut_message(transcript), 1)
    ]


def part_id(message_id: str, number: int) -> str:
    """Return the id of a part; the first one has that of its message."""
    return message_id if number == 1 else f"{message_id}#{number:04}"


def message_of(part: str) -> str:
    """Return the id of the message that a part is of, by the part's id; another id is returned as it is."""
    return re.sub(r"#\d{4,}$", "", part)


def cut_text(text: str) -> list[tuple[str, Cut | None]]:
    """Cut a text into parts of at most MAX_WORDS words, each with how it was cut; a shorter text stays as it is."""
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    if len(words) <= MAX_WORDS:
        return [(text, None)]
    return [(text[words[first][0] : words[last - 1][1]], cut) for first, last, cut in _runs(text, words)]


def _cut_message(transcript: Transcript) -> Iterator[tuple[Transcript, Cut | None]]:
    """Yield the parts of a message, still under its id."""
    spoken = [segment for segment in transcript.segments if segment.text.strip()]
    whole = replace(transcript, segments=()) if transcript.segments else transcript
    if not spoken:
        for text, cut in cut_text(whole.text):
            yield replace(whole, text=text), cut
    # Made once for each channel, since a call may hold thousands of segments.
    channels = {segment.channel for segment in spoken if segment.channel is not None}
    by_channel = {channel: with_channel(whole.attributes, channel) for channel in channels}
    for place, segment in enumerate(spoken):
        turn = replace(
            whole,
            speaker=segment.speaker or whole.speaker,
            role=segment.role or (None if segment.speaker else whole.role),
            segment=place if whole.segment is None else whole.segment,
            language=segment.language or whole.language,
            attributes=whole.attributes if segment.channel is None else by_channel[segment.channel],
            spoken_at=segment.spoken_at or whole.spoken_at,
            asr_confidence=whole.asr_confidence if segment.asr_confidence is None else segment.asr_confidence,
        )
        for text, cut in cut_text(segment.text.strip()):
            yield replace(turn, text=text), cut or "segment"


def _runs(text: str, words: list[tuple[int, int]]) -> Iterator[tuple[int, int, Cut]]:
    """Yield runs of words, as the first one's number and the number after the last one's, with how they were cut."""
    begin = end = 0  # What waits for further sentences.
    for first, last in _sentences(text, words):
        if begin < end and last - begin > MAX_WORDS:
            yield begin, end, "sentence"
            begin = first
        end = last
        if end - begin > MAX_WORDS:
            pieces = -(-(end - begin) // MAX_WORDS)
            borders = [begin + (end - begin) * piece // pieces for piece in range(pieces + 1)]
            yield from ((*pair, "words") for pair in pairwise(borders))
            begin = end
    if begin < end:
        yield begin, end, "sentence"


def _sentences(text: str, words: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    begin = 0
    for number, (start, end) in enumerate(words, 1):
        if number == len(words) or _ENDS_SENTENCE.search(text, start, end):
            yield begin, number
            begin = number

"""What is no speech: time codes, punctuation of JSON, markup, and other traces of a form that is not known."""

import re
from typing import Final

_TIMES: Final = re.compile(r"\d\s*-->\s*\d|\d{1,2}:\d\d[.,]\d{1,3}\b|\d{1,2}:\d\d:\d\d\b.{0,3}-+>?\s*\d{1,2}:\d\d")
_JSON: Final = re.compile(
    r'"[A-Za-z_]\w*"\s*:|[!-~]"\s*:\s*(["\[{]|-?\d|true\b|false\b|null\b)|[\d"\]}][\]}]\s*,\s*["\[{]'
)
"""Quoted titles and remarks such as `[смех], [шум]` are speech."""

_BARE_JSON: Final = re.compile(r'[\s\[\]{},:;"]+')
_MARKUP: Final = re.compile(
    r"\s*(?!<\w{1,24}>)<(\?xml|!DOCTYPE|!--|/?[A-Za-z][\w:.-]*(\s[^>]*)?/?>\s*$|/?[A-Za-z][\w:.-]*\s+[\w:-]+=)",
    re.IGNORECASE,
)

_FIELD: Final = re.compile(
    r"-?\s*[\"']?(id|text|transcript|start|end|start_time|end_time|speaker|speaker_label|channel|confidence|language|"
    r"segments?|words?|seek|tokens|temperature|avg_logprob|no_speech_prob|compression_ratio)[\"']?\s*([:=](\s|$|\d)|$)"
)
_BEGINS_WITH_TIME: Final = re.compile(
    r"[\[(]?\d{1,2}:\d\d(:\d\d)?([.,]\d+)?([\])]|\s|$)|[\[(]?\d[\d.-]{7,9}[T ]+\d\d:\d\d", re.ASCII
)
_BARE_NUMBER: Final = re.compile(r"(-?\d+\.\d+,?|-?\d+,)$")
_TIMED_ROW: Final = re.compile(
    r"(\S+\s+){1,3}\d+\.\d+\s+\d+\.\d+\s|.*<NA>|.*\([\w.:-]*\d[\w.:-]*[-_][\w.:-]*\)$", re.ASCII
)
"""Rows of RTTM and STM, and of sclite's TRN."""

_CELLS: Final = re.compile(r"[^\t;]*(\t[^\t]*\d[^\t]*\t|;[^;]*\d[^;]*;)")

_NO_PLAIN_TEXT: Final = (
    (re.compile(r"\{|WEBVTT"), "it begins as JSON or WebVTT does"),
    (_BEGINS_WITH_TIME, "it begins with a time"),
    (_FIELD, "it begins with a field's name"),
    (_BARE_NUMBER, "it is a bare number"),
    (
        re.compile(r"Detect(ing|ed) language\b"),
        "it is a remark of Whisper's: leave it out, and lines with times are read",
    ),
    (_CELLS, "it is the row of a table"),
    (_TIMED_ROW, "it is the row of a table"),
)


def why_no_speech(text: str) -> str | None:
    """Return why a text that a form gave is no speech; None where it may be.

    The text itself, which somebody may have said, is not quoted.
    """
    if _TIMES.search(text):
        return "it holds time codes"
    if _JSON.search(text) or _BARE_JSON.fullmatch(text):
        return "it holds the punctuation of JSON"
    if _MARKUP.match(text):
        return "it holds markup, as XML and HTML do"
    return None


def why_no_plain_text(line: str) -> str | None:
    """Return why a line is no line of plain text; None where it may be."""
    for pattern, why in _NO_PLAIN_TEXT:
        if pattern.match(line):
            return why
    return why_no_speech(line)


def is_timed_row(line: str) -> bool:
    """Whether a line is a row of RTTM, STM or TRN, whose words stand between names and times."""
    return _TIMED_ROW.match(line) is not None

"""NeMo's manifests: a line for each recording, or for each stretch of one."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from msgspec import Struct

from schemas.languages import tag_of
from worker.forms.json_form import JsonForm
from worker.forms.source import Source
from worker.forms.turn import Label, Turn, speaker_name


class Entry(Struct):
    """A line of a manifest; `pred_text` is what was recognized, `text` without it what was said."""

    audio_filepath: str
    text: str | None = None
    pred_text: str | None = None
    offset: float | None = None
    speaker: Label = None
    lang: str | None = None


class Manifest(JsonForm[Entry]):
    """A manifest, in which recordings of several folders may have one name."""

    def turns(self, source: Source) -> Iterator[tuple[str, int, Turn]]:
        """Yield the turns, each in a call that has its recording's name, or its path where two have one name.

        Raises:
            UnreadableFile: a line is of another form, or breaks this one.
        """
        recordings: dict[str, set[PurePath]] = defaultdict(set)
        for _, document in source.documents():
            path = _path(str(document.get("audio_filepath")))
            recordings[path.stem].add(path)
        for place, number, turn in super().turns(source):
            path = _path(turn.session or "")
            if len(recordings[path.stem]) == 1:
                turn.session = path.stem or None
            yield place, number, turn


def read_nemo(document: Entry) -> Iterator[Turn]:
    """Yield the line's turn, in a call that has its recording's path for a name."""
    yield Turn(
        text=(document.text or "") if document.pred_text is None else document.pred_text,
        start=document.offset,
        speaker=speaker_name(document.speaker),
        language=tag_of(document.lang),
        session=document.audio_filepath or None,
    )


def _path(written: str) -> PurePath:
    return PureWindowsPath(written) if "\\" in written else PurePosixPath(written)


def _knows(document: dict[str, Any]) -> bool:
    return "audio_filepath" in document and not {"text", "pred_text"}.isdisjoint(document)


NEMO = Manifest("nemo", Entry, _knows, read_nemo)

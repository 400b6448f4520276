"""Damaged files of every form, and records: each is read or refused in one line. `python tests/fuzz_forms.py`."""

import os
import random
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from mutations import fuzz_by_command, mutated, samples

from schemas.transcripts import InvalidTranscript, decode
from worker.forms.files import TranscriptFile
from worker.forms.known import NAMES
from worker.forms.line_form import LineForm
from worker.forms.parquet import PARQUET
from worker.forms.turn import UnreadableFile

SAMPLES: Final = Path(__file__).parent / "data" / "forms"

_PIPE: Final = 60_000
"""Bytes that a pipe holds while nobody reads."""

_NO_SPEECH: Final = re.compile(
    r"\d --> \d|\d\d:\d\d[,.]\d\d\d|\"\w+\"\s*:|^\s*[\[\]{}\",:]+\s*$|"
    r"^<(?!\w{1,24}>)[^>]*>$|^WEBVTT|^(id|text|start|end)$",
    re.ASCII,
)


@contextmanager
def pipe_of(content: bytes) -> Iterator[str]:
    """Put a content into a pipe, whose path is given."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    try:
        yield f"/proc/self/fd/{reader}"
    finally:
        os.close(reader)


def read_or_refused(file: str, form: str | None, where: str) -> tuple[list[str], str | None]:
    """Return the texts of a file of lines as `publish` takes them, and the refusal.

    A JSON string or a cell of Parquet may hold anything, so their texts are left out.

    Raises:
        AssertionError: it ends otherwise.
    """
    try:
        with TranscriptFile(file, form=form, for_rows=True) as given:
            given.check()
            texts = [message.transcript.text for message in given.messages() if message.transcript]
            return texts if isinstance(given.form, LineForm) and given.form is not PARQUET else [], None
    except UnreadableFile as error:
        return [], str(error)
    except Exception as error:
        raise AssertionError(where) from error


def decode_or_refuse(value: bytes, where: str) -> None:
    """Decode a value as the worker decodes a record's.

    Raises:
        AssertionError: it ends otherwise than with a transcript or a reason of one line.
    """
    try:
        decode(value, timestamp_ms=0)
    except InvalidTranscript as error:
        assert "\n" not in str(error), where  # noqa: PT017 - the one outcome besides a transcript.
    except Exception as error:
        raise AssertionError(where) from error


def fuzz_forms(count: int, seed: int) -> tuple[int, int]:
    """Read damaged files, half of them by the name of a form; return how many were read and how many refused.

    Raises:
        AssertionError: a refusal has more than one line, or what is no speech was read as such; it says of which file.
    """
    random_ = random.Random(seed)
    contents = samples(SAMPLES)
    names = [name for name in NAMES if name != "text"]
    was_read = 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "damaged"
        for number in range(count):
            content = mutated(random_.choice(contents), contents, random_)
            form = random_.choice(names) if random_.random() < 0.2 else None
            file.write_bytes(content)
            where = f"seed {seed}, file {number}, form {form}: {content[:2_000]!r}"
            by_pipe = len(content) < _PIPE and random_.random() < 0.1
            with pipe_of(content) if by_pipe else nullcontext(str(file)) as path:
                texts, refusal = read_or_refused(path, form, where)
            was_read += refusal is None
            decode_or_refuse(content, where)
            assert refusal is None or ("\n" not in refusal and len(refusal) < 1_500), f"{refusal} {where}"
            assert not [text for text in texts if _NO_SPEECH.search(text)], f"{texts} {where}"
    return was_read, count - was_read


if __name__ == "__main__":
    fuzz_by_command(fuzz_forms, __doc__)

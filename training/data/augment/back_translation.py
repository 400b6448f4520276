"""The same said otherwise: Russian texts through another language and back, with MarianMT models.

Every translation is kept in a cache as soon as it is made, so that a run that was killed goes on where it was, and the
next run makes none again.
"""

import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from schemas.errors import UserError
from training.errors import UnusableModel, UnusableOutput, first_line
from training.settings import EN_RU, RU_EN

_MOST_TOKENS: Final = 128
"""Of a text and of its translation; the rest of a batch changes nothing, so a resumed run translates alike."""

_ASKED_TOGETHER: Final = 500


def back_translate(  # noqa: PLR0913 - what a run of it is made of.
    texts: Sequence[str],
    cache: Path,
    *,
    there: str = RU_EN,
    back: str = EN_RU,
    batch_size: int = 64,
    device: str | None = None,
) -> list[str]:
    """Translate texts there and back.

    Args:
        texts: as published; what punctuation there is helps the models.
        cache: SQLite file of all translations so far, made where there is none. It may serve several pairs of models.
        there: folder or hub name of the first model.
        back: of the second one.
        batch_size: texts a batch.
        device: where to translate; by default on a GPU if there is one.

    Returns:
        One text for each, in their order; an empty one for a text without words.

    Raises:
        UnusableModel: a model cannot be opened.
        UnusableOutput: the file is something else than such a cache, or cannot be written.
        UserError: the extra `augment` is not installed, or the GPU is too small for the batch.
    """
    with closing(_Cache(cache, f"{there}\n{back}")) as done:
        known = done.get(texts)
        new = sorted({text for text in texts if text.strip()} - known.keys(), key=lambda text: (-len(text), text))
        if new:
            models = (_Translator(there, device), _Translator(back, device))
            for batch in _batches(new, batch_size):
                translated = models[1](models[0](batch))
                done.put(dict(zip(batch, translated, strict=True)))
            known = done.get(texts)
    return [known.get(text, "") for text in texts]


def _batches(texts: list[str], size: int) -> Iterator[list[str]]:
    """Cut the texts into batches, and show how far they are and how long the rest takes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("texts translated there and back", total=len(texts))
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            yield batch
            progress.advance(task, len(batch))


class _Cache:
    """Translations by the models' names and the text's SHA-256, each batch committed at once."""

    def __init__(self, path: Path, models: str) -> None:
        self._models = models
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path)
            with self._file:
                self._file.execute("CREATE TABLE IF NOT EXISTS translations (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        except (sqlite3.Error, OSError) as error:
            raise UnusableOutput(f"{path} cannot hold the translations ({error}); name another file") from error

    def get(self, texts: Sequence[str]) -> dict[str, str]:
        """Return those of the texts that are translated, with their translations."""
        keys = {self._key(text): text for text in texts}
        wanted = list(keys)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), _ASKED_TOGETHER):
            part = wanted[start : start + _ASKED_TOGETHER]
            marks = ", ".join("?" * len(part))
            rows = self._file.execute(f"SELECT key, text FROM translations WHERE key IN ({marks})", part)  # noqa: S608 - question marks alone.
            found.update((keys[key], text) for key, text in rows)
        return found

    def put(self, translations: Mapping[str, str]) -> None:
        """Store a batch."""
        with self._file:
            self._file.executemany(
                "INSERT OR REPLACE INTO translations VALUES (?, ?)",
                [(self._key(text), translation) for text, translation in translations.items()],
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _key(self, text: str) -> str:
        return sha256(f"{self._models}\n{text}".encode()).hexdigest()


class _Translator:
    """One MarianMT model: on a GPU in bfloat16, else in float32."""

    def __init__(self, name: str, device: str | None) -> None:
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if self._device.startswith("cuda") else torch.float32
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name)
            self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(name, dtype=dtype).to(self._device).eval()
        except ImportError as error:
            raise UserError(
                "back-translation needs the packages sentencepiece and sacremoses: pip install 'asr-emotions[augment]'"
            ) from error
        except (OSError, ValueError) as error:
            raise UnusableModel(
                f"{name} cannot be opened as a translation model ({first_line(error)}). Name a Hugging Face "
                "folder or hub repository of a MarianMT model"
            ) from error

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> list[str]:
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=_MOST_TOKENS)
        batch = batch.to(self._device)
        try:
            tokens = self._model.generate(**batch, max_new_tokens=_MOST_TOKENS)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU has no memory to translate {len(texts)} texts at once; give a smaller batch size (what is "
                "translated is kept)"
            ) from error
        return [str(text).strip() for text in self._tokenizer.batch_decode(tokens, skip_special_tokens=True)]

"""Write a model bundle, so that it appears whole or not at all."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from registry.errors import UnusableOutput
from schemas.bundle import CARD, CONFIG, KNOWN_TEXTS, MANIFEST, Manifest, is_bundle_file

SHARD: Final = "40MB"
"""Git hosts refuse or warn of larger files from 50 MB on."""


def ensure_free(folder: Path) -> None:
    """Make sure that a bundle can be written there, before hours are spent on it.

    Raises:
        UnusableOutput: something is there already.
    """
    if folder.exists():
        raise UnusableOutput(f"{folder} exists. Name a new folder with --output, or move that one away")


def write_bundle(  # noqa: PLR0913 - what a bundle consists of.
    folder: Path, model: Any, tokenizer: Any, manifest: Manifest, card: str, *, known: bytes | None = None
) -> None:
    """Write the bundle next to its place, the manifest last, then move it there in one step.

    Args:
        folder: the bundle's new folder; must not exist.
        model: any classifier of transformers; its weights become float16.
        tokenizer: the model's tokenizer.
        manifest: the bundle's manifest.
        card: README.md, the model card.
        known: content of the list of texts that the model has learnt; see `training.data.known_texts`.

    Raises:
        UnusableOutput: the folder exists or cannot be written.
    """
    ensure_free(folder)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        model.half().save_pretrained(unfinished, max_shard_size=SHARD)
        tokenizer.save_pretrained(unfinished)
        _open_in_float32(unfinished / CONFIG)
        (unfinished / CARD).write_text(card, encoding="utf-8")
        if known is not None:
            (unfinished / KNOWN_TEXTS).write_bytes(known)
        (unfinished / MANIFEST).write_bytes(manifest.encode())
        for file in list(unfinished.iterdir()):
            if not is_bundle_file(file.name):
                file.unlink()
                continue
            # safetensors writes files that only their owner may read.
            file.chmod(0o644)
        unfinished.rename(folder)
    except OSError as error:
        raise UnusableOutput(f"{folder} cannot be written: {error}. Free the disk or name another --output") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _open_in_float32(config: Path) -> None:
    # The weights are float16 to be small; many CPUs compute in float16 slowly, and transformers would follow.
    state = json.loads(config.read_text(encoding="utf-8"))
    state["dtype"] = "float32"
    config.write_text(json.dumps(state, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def now() -> datetime:
    """Return the time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)

"""Writing a model bundle, so that it appears whole or not at all; and opening one."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer

from networks import AutoModelForSequenceClassification
from schemas.bundle import CONFIG, MANIFEST, Manifest, UnusableBundle, read_config, read_manifest
from training.errors import UnusableModel, UnusableOutput, first_line

SHARD: Final = "40MB"
"""Git hosts refuse or warn of larger files from 50 MB on."""


def ensure_free(folder: Path) -> None:
    """Make sure that a bundle can be written there, before hours are spent on it.

    Raises:
        UnusableOutput: something is there already.
    """
    if folder.exists():
        raise UnusableOutput(f"{folder} exists. Name a new folder with --output, or move that one away")


def write_bundle(folder: Path, model: Any, tokenizer: Any, manifest: Manifest, card: str) -> None:
    """Write the bundle beside its place, the manifest last, then move it there in one step.

    Args:
        folder: of the bundle; must not exist.
        model: any classifier of transformers; its weights become float16.
        tokenizer: of the model.
        manifest: of the bundle.
        card: README.md, the model card.

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
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        (unfinished / MANIFEST).write_bytes(manifest.encode())
        for file in unfinished.iterdir():
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


def open_bundle(folder: Path) -> tuple[Any, Any, Manifest]:
    """Open a bundle: model in float32, tokenizer, manifest.

    Raises:
        UnusableModel: it is no bundle, it is damaged, or it is not one for this version.
    """
    try:
        manifest = read_manifest((folder / MANIFEST).read_bytes())
        read_config((folder / CONFIG).read_bytes())
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except UnusableBundle as error:
        raise UnusableModel(f"{folder}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise UnusableModel(
            f"{folder} is no bundle ({first_line(error)}). Name a folder that `emotion-training fit` wrote"
        ) from error
    astray = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if astray:
        # transformers would make up what is missing and leave out what is too much.
        raise UnusableModel(
            f"{folder}: weights and config.json are of different models ({', '.join(astray[:3])}). Copy the bundle anew"
        )
    return model, tokenizer, manifest


def now() -> datetime:
    """Return the time, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)

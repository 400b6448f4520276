"""Finding a model bundle, in a folder or on the hub, and reading all of it but the weights."""

from pathlib import Path
from typing import Final, NamedTuple

from huggingface_hub import snapshot_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from tokenizers import Tokenizer

from registry.errors import first_line
from schemas.bundle import CONFIG, MANIFEST, Manifest, UnusableBundle, read_config, read_manifest
from worker.errors import ConfigurationError

_TOKENIZER: Final = "tokenizer.json"
_WANTED: Final = ["*.json", "*.safetensors", "*.onnx"]


class Bundle(NamedTuple):
    """A bundle without its weights."""

    folder: Path
    manifest: Manifest
    tokenizer: Tokenizer
    pad: int
    """Token id to fill up rows with."""


def open_bundle(model: str) -> Bundle:
    """Find a bundle and read its manifest, configuration and tokenizer.

    Args:
        model: a folder or a hub name.

    Raises:
        ConfigurationError: there is none, it is damaged, or it is not one that this version serves.
    """
    folder = Path(model) if Path(model).is_dir() else _download(model)
    try:
        manifest = read_manifest(_content(folder, MANIFEST))
        config = read_config(_content(folder, CONFIG))
    except UnusableBundle as error:
        raise ConfigurationError(f"model {model}: {error}") from error
    try:
        tokenizer = Tokenizer.from_buffer(_content(folder, _TOKENIZER))
    except ValueError as error:
        raise damaged(folder, f"{_TOKENIZER} cannot be read", error) from error
    return Bundle(folder, manifest, tokenizer, config.pad_token_id or 0)


def damaged(folder: Path, what: str, error: Exception | None = None) -> ConfigurationError:
    """Return an error of one line for a bundle that is not as it was written."""
    return ConfigurationError(
        f"model {folder}: {what}{f' ({first_line(error)})' if error else ''}. Copy or export the bundle anew"
    )


def _download(name: str) -> Path:
    # Standard error is for log lines, one JSON object each.
    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"model {name}: no such folder, and the hub does not give it ({first_line(error)}). WORKER_MODEL must name "
            "a folder or a hub repository that `emotion-training fit` wrote"
        ) from error


def _content(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"model {folder}: no {name} ({type(error).__name__}). WORKER_MODEL must name a folder or a hub "
            "repository that `emotion-training fit` wrote"
        ) from error

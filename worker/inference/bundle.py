"""Find a model bundle, in a folder or on the hub, and read its tokenizer."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from tokenizers import Tokenizer

from registry.contents import Bundle, open_bundle
from registry.errors import RegistryError, first_line
from registry.released import named_folder
from schemas.bundle import FILES, TOKENIZER
from worker.errors import ConfigurationError


def find_bundle(model: str) -> Bundle:
    """Find a bundle and open all of it but its tokenizer and its weights.

    Args:
        model: small or tiny, which come with the code, a folder or a hub name.

    Raises:
        ConfigurationError: there is none, it is damaged, or it is not one that this version serves.
    """
    try:
        return open_bundle(_folder(model))
    except RegistryError as error:
        raise ConfigurationError(str(error)) from error


def read_tokenizer(bundle: Bundle) -> Tokenizer:
    """Return a bundle's tokenizer.

    Raises:
        ConfigurationError: it is damaged.
    """
    try:
        return Tokenizer.from_buffer((bundle.folder / TOKENIZER).read_bytes())
    except (OSError, ValueError) as error:
        raise damaged_bundle(bundle.folder, f"{TOKENIZER} cannot be read", error) from error


def damaged_bundle(folder: Path, what: str, error: Exception | None = None) -> ConfigurationError:
    """Return an error of one line for a bundle that is not as it was written."""
    return ConfigurationError(
        f"model {folder}: {what}{f' ({first_line(error)})' if error else ''}. Copy or export the bundle again"
    )


def _folder(model: str) -> Path:
    folder = named_folder(model)
    return folder if folder.is_dir() else _download(model)


def _download(name: str) -> Path:
    # Standard error is for log lines, one JSON object each.
    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"model {name}: no such folder, and the hub does not give it ({first_line(error)}). WORKER_MODEL must name "
            "a folder or a hub repository that `emotion-training fit` wrote"
        ) from error

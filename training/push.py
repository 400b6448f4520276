"""Bundles to the Hugging Face hub."""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from training.bundles import open_bundle
from training.errors import UnusableOutput, first_line


def push_bundle(folder: Path, repository: str, *, private: bool, dry_run: bool) -> Iterator[str]:
    """Upload a bundle, after making sure that it opens.

    Args:
        folder: of the bundle.
        repository: owner and name on the hub; made if it is not there.
        private: whether a new repository is.
        dry_run: upload nothing.

    Yields:
        A line for each file, then one that says where they are, or would be.

    Raises:
        UnusableModel: it is no bundle.
        UnusableOutput: the hub takes no repository of that name, or refuses us.
    """
    *_, manifest = open_bundle(folder)
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UnusableOutput(f"--repository {repository}: {first_line(error)}") from error
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        yield f"{file.name}  {file.stat().st_size:,} bytes"
    if dry_run:
        yield f"{manifest.version} would go to {repository}"
        return
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=manifest.version)
    except (HfHubHTTPError, OSError) as error:
        raise UnusableOutput(
            f"the hub does not take {repository} ({first_line(error)}). Log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        ) from error
    yield f"{manifest.version} is at {done}"

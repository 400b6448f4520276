"""Bundles to the Hugging Face hub."""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from registry.contents import files_of
from registry.load import load_bundle
from schemas.bundle import KNOWN_TEXTS, Manifest
from training.errors import UnusableModel, UnusableOutput, first_line
from training.evaluate.model_card import own_sets


def push_bundle(folder: Path, repository: str, *, public: bool, own_labels: bool, dry_run: bool) -> Iterator[str]:
    """Upload a bundle's files, and no other file of its folder, after making sure that it opens.

    The hashes of the texts that it has learnt stay at home: whoever has them can try texts that they guess.

    Args:
        folder: the bundle's folder.
        repository: owner and name on the hub; made if it is not there.
        public: whether everybody may read it there.
        own_labels: push it though it has learnt from labels of the user's own.
        dry_run: upload nothing.

    Yields:
        A line for each file, then one that says where they are, or would be.

    Raises:
        UnusableModel: it is no bundle, or has learnt what nobody said it may tell.
        UnusableOutput: the hub takes no repository of that name, refuses us, or would show it to everybody.
    """
    *_, manifest = load_bundle(folder)
    _require_told(folder, manifest, own_labels=own_labels)
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UnusableOutput(f"--repository {repository}: {first_line(error)}") from error
    files = files_of(str(folder))
    files.pop(KNOWN_TEXTS, None)
    for name, size in sorted(files.items()):
        yield f"{name}  {size:,} bytes"
    seen = "public" if public else "private"
    if dry_run:
        yield f"{manifest.version} would go to {repository}, {seen}"
        return
    additions = [CommitOperationAdd(name, folder / name) for name in sorted(files)]
    try:
        api = HfApi()
        api.create_repo(repository, private=not public, exist_ok=True)
        # One that was there already is as its owner made it.
        if not (public or api.repo_info(repository).private):
            raise UnusableOutput(f"{repository} is public already: say --public, or name another --repository")
        done = api.create_commit(repository, additions, commit_message=manifest.version)
    except (HfHubHTTPError, OSError) as error:
        raise UnusableOutput(
            f"the hub does not take {repository} ({first_line(error)}). Log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        ) from error
    yield f"{manifest.version} is at {done.commit_url}, {seen}"


def _require_told(folder: Path, manifest: Manifest, *, own_labels: bool) -> None:
    """Refuse a model that may repeat what customers said, unless the user knows."""
    own = own_sets(manifest)
    if own and not own_labels:
        raise UnusableModel(
            f"{folder} has learnt {', '.join(own)}: texts of your own can leak from a model. If whoever may read the "
            "repository may know them, say --own-labels"
        )

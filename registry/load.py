"""Load a bundle's model and tokenizer with PyTorch."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoTokenizer

from registry.contents import open_bundle
from registry.errors import BrokenBundle, first_line
from registry.pooled_head import AutoModelForSequenceClassification
from schemas.bundle import Manifest


def load_bundle(folder: Path) -> tuple[Any, Any, Manifest]:
    """Return a bundle's model in float32, its tokenizer and its manifest.

    Raises:
        BrokenBundle: it is no bundle, it is damaged, or it is not one for this version.
    """
    manifest = open_bundle(folder).manifest
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise BrokenBundle(
            f"{folder} is no bundle ({first_line(error)}). Name a folder that `emotion-training fit` wrote"
        ) from error
    astray = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if astray:
        # transformers would make up what is missing and leave out what is too much.
        raise BrokenBundle(
            f"{folder}: weights and config.json are of different models ({', '.join(astray[:3])}). Copy it again"
        )
    return model, tokenizer, manifest

"""ONNX files of champion and candidate: the candidate gets those that the champion has, and both are timed by them.

`registry.onnx_export` and ONNX Runtime are loaded where they are needed, for a machine without them can train too.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from transformers import AutoTokenizer

from registry.contents import open_bundle
from schemas.bundle import ONNX, ONNX_INT8
from schemas.decisions import Floats
from training.errors import UnusableModel, first_line
from training.learn.batches import padded

log = structlog.get_logger(__name__)

_PREFERRED: Final = (ONNX_INT8, ONNX)
"""As the worker takes them."""


def export_alike(champion: Path, candidate: Path) -> None:
    """Give a candidate the ONNX files that the champion has, or its promotion would slow the workers that run them.

    What cannot be exported is warned of; a worker serves such a candidate by torch.

    Args:
        champion: folder of its bundle.
        candidate: the same; a file that it has already stays.

    Raises:
        UnusableOutput: a file cannot be written.
    """
    for name in _PREFERRED:
        if not (champion / name).is_file() or (candidate / name).is_file():
            continue
        try:
            from registry.onnx_export import export_onnx  # noqa: PLC0415 - see above.

            export_onnx(candidate, int8=name == ONNX_INT8)
        except (ImportError, UnusableModel) as error:
            advice = "pip install 'asr-emotions[onnx]'" if isinstance(error, ImportError) else "Serve it by torch"
            log.warning(
                "the champion has an ONNX file and the candidate gets none: once promoted, it is slower on a CPU",
                file=name,
                error=first_line(error),
                advice=advice,
            )


def of_both(champion: Path, candidate: Path) -> str | None:
    """Return the ONNX file that a worker on a CPU would run of either; None where one lacks it, or ONNX Runtime does.

    Args:
        champion: folder of its bundle.
        candidate: the same.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    return next((name for name in _PREFERRED if (champion / name).is_file() and (candidate / name).is_file()), None)


def by_onnx(file: Path) -> Callable[[Sequence[str]], Floats]:
    """Return what gives the outputs of n texts, before calibration, by an ONNX file of a bundle on the CPU."""
    from onnxruntime import InferenceSession  # noqa: PLC0415 - see above.

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(file.parent, local_files_only=True)
    longest = open_bundle(file.parent).manifest.max_tokens

    def logits(texts: Sequence[str]) -> Floats:
        ids = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
        tokens, mask = padded(ids, tokenizer.pad_token_id or 0)
        given: Floats
        (given,) = session.run(["logits"], {"input_ids": tokens.numpy(), "attention_mask": mask.numpy()})
        return given

    return logits

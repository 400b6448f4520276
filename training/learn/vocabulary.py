"""A multilingual vocabulary, cut to what Russian transcripts hold: more than half of a small model is embeddings.

A Unigram tokenizer takes the likeliest sequence of pieces. Where all of its pieces are kept it stays the likeliest,
so such text gets the same pieces as before.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoTokenizer

_RUSSIAN: Final = re.compile(r"▁?[А-Яа-яЁё]+")
_SHORT: Final = re.compile(r"▁?(?:[\x21-\x7e]|[0-9]{1,4}|[А-Яа-яЁё«»„“”…—–№₽€]|[^\w\s]{1,3})|▁")


def pieces_to_keep(tokenizer: Any, seen: Iterable[int]) -> set[int]:
    """Choose Russian pieces, digits, single Latin letters, signs, what was seen, and the special tokens.

    Args:
        tokenizer: with a vocabulary of SentencePiece's spelling.
        seen: ids that all stay.
    """
    keep = {
        number
        for piece, number in tokenizer.get_vocab().items()
        if _RUSSIAN.fullmatch(piece) or _SHORT.fullmatch(piece)
    }
    return keep | set(seen) | set(tokenizer.all_special_ids)


def cut(model: Any, tokenizer: Any, keep: set[int]) -> Any:
    """Cut the model's embeddings in place, and return the tokenizer for them.

    Args:
        model: whose embeddings have a row for each piece.
        tokenizer: a fast one; one that is not Unigram is returned as it is, with the model left whole.
        keep: ids that stay, in their order.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        file = Path(folder) / "tokenizer.json"
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["model"]["type"] != "Unigram":
            return tokenizer
        old = sorted(keep)
        new = {number: at for at, number in enumerate(old)}
        file.write_text(json.dumps(_renumbered(state, new), ensure_ascii=False), encoding="utf-8")
        smaller = AutoTokenizer.from_pretrained(folder)
    _cut_embeddings(model, old)
    for config in _configs(model):
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            number = getattr(config, name, None)
            if number is not None:
                setattr(config, name, new.get(number))
    return smaller


def _renumbered(state: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """Return a tokenizer's state with only these pieces, under their new ids."""
    unigram = state["model"]
    unigram["vocab"] = [piece for number, piece in enumerate(unigram["vocab"]) if number in new]
    unigram["unk_id"] = new[unigram["unk_id"]]
    state["added_tokens"] = [{**token, "id": new[token["id"]]} for token in state["added_tokens"] if token["id"] in new]
    for token in (state.get("post_processor") or {}).get("special_tokens", {}).values():
        token["ids"] = [new[number] for number in token["ids"]]
    return state


@torch.no_grad()
def _cut_embeddings(model: Any, old: list[int]) -> None:
    whole = model.get_input_embeddings()
    rows = whole.weight[torch.tensor(old, device=whole.weight.device)].clone()
    padding = None if whole.padding_idx is None else old.index(whole.padding_idx)
    model.set_input_embeddings(torch.nn.Embedding(len(old), rows.shape[1], padding_idx=padding, _weight=rows))
    model.config.get_text_config().vocab_size = len(old)


def _configs(model: Any) -> list[Any]:
    """Return the model's configuration and, where that of its encoder lies within, that too."""
    inner = model.config.get_text_config()
    return [model.config] if inner is model.config else [model.config, inner]

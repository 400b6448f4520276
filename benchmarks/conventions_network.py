"""Several networks of BertForSequenceClassification side by side, and their weights under the names of transformers."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WIDTH: Final = 384
HEADS: Final = 12
MASK: Final = 24317
PAD: Final = 1
EPSILON: Final = 1e-12


class Linear(nn.Module):
    """A linear layer for each network."""

    def __init__(self, networks: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(networks, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(networks, outputs))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return networks x rows x outputs of networks x rows x inputs."""
        return torch.baddbmm(self.bias[:, None], values, self.weight.transpose(1, 2))


class Norm(nn.Module):
    """A layer normalization for each network."""

    def __init__(self, networks: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(networks, WIDTH)), nn.Parameter(torch.empty(networks, WIDTH))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of the given shape, networks x rows x width."""
        normal = functional.layer_norm(values, (WIDTH,), eps=EPSILON)
        return torch.addcmul(self.bias[:, None], normal, self.weight[:, None])


class Layer(nn.Module):
    """One layer of BERT."""

    def __init__(self, networks: int) -> None:
        super().__init__()
        self.qkv, self.out = Linear(networks, WIDTH, 3 * WIDTH), Linear(networks, WIDTH, WIDTH)
        self.up, self.down = Linear(networks, WIDTH, 4 * WIDTH), Linear(networks, 4 * WIDTH, WIDTH)
        self.first, self.second = Norm(networks), Norm(networks)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor, drop: float) -> torch.Tensor:
        """Return the next states, networks x (rows and tokens) x width; `mask` is true where there is a token."""
        tokens = mask.shape[-1]
        parts = self.qkv(hidden).view(-1, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], mask, dropout_p=drop)
        seen = self.out(seen.transpose(1, 2).reshape(hidden.shape))
        hidden = self.first(hidden + functional.dropout(seen, drop, self.training))
        more = self.down(functional.gelu(self.up(hidden)))
        return self.second(hidden + functional.dropout(more, drop, self.training))


class Networks(nn.Module):
    """BertForSequenceClassification several times, in one pass, with fewer kernels a step."""

    def __init__(self, networks: int, layers: int, columns: int) -> None:
        super().__init__()
        self.words, self.places, self.types = (
            nn.Parameter(torch.empty(networks, rows, WIDTH)) for rows in (MASK + 1, 512, 2)
        )
        self.norm = Norm(networks)
        self.layers = nn.ModuleList(Layer(networks) for _ in range(layers))
        self.pooler, self.classifier = Linear(networks, WIDTH, WIDTH), Linear(networks, WIDTH, columns)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits, networks x rows x columns, of padded token ids, networks x rows x tokens."""
        networks, rows, tokens = ids.shape
        drop = 0.1 if self.training else 0.0
        mask = (ids != PAD).view(networks * rows, 1, 1, tokens)
        shifted = ids + torch.arange(networks, device=ids.device)[:, None, None] * self.words.shape[1]
        hidden = functional.embedding(shifted, self.words.view(-1, WIDTH))
        hidden = hidden + (self.places[:, :tokens] + self.types[:, :1])[:, None]
        hidden = functional.dropout(self.norm(hidden.view(networks, -1, WIDTH)), drop, self.training)
        for layer in self.layers:
            hidden = layer(hidden, mask, drop)
        first = hidden.view(networks, rows, tokens, WIDTH)[:, :, 0]
        pooled = functional.dropout(torch.tanh(self.pooler(first)), drop, self.training)
        return self.classifier(pooled)


def named(layers: Sequence[int]) -> dict[str, list[str]]:
    """Return for each of our tensors the names of transformers' that make it up."""
    names = {}
    for kind in ("weight", "bias"):
        for at, number in enumerate(layers):
            old = f"encoder.layer.{number}."
            heads = [f"{old}attention.self.{part}.{kind}" for part in ("query", "key", "value")]
            names |= {
                f"layers.{at}.qkv.{kind}": heads,
                f"layers.{at}.out.{kind}": [f"{old}attention.output.dense.{kind}"],
                f"layers.{at}.first.{kind}": [f"{old}attention.output.LayerNorm.{kind}"],
                f"layers.{at}.up.{kind}": [f"{old}intermediate.dense.{kind}"],
                f"layers.{at}.down.{kind}": [f"{old}output.dense.{kind}"],
                f"layers.{at}.second.{kind}": [f"{old}output.LayerNorm.{kind}"],
            }
        names[f"norm.{kind}"] = [f"embeddings.LayerNorm.{kind}"]
        names[f"pooler.{kind}"] = [f"pooler.dense.{kind}"]
        names[f"classifier.{kind}"] = [f"classifier.{kind}"]
    for ours, theirs in (("words", "word"), ("places", "position"), ("types", "token_type")):
        names[ours] = [f"embeddings.{theirs}_embeddings.weight"]
    return names


def opened(found: Sequence[dict[str, torch.Tensor]], layers: Sequence[int], columns: int) -> Networks:
    """Return networks that begin with these weights, one each; a head that is not there begins as the one there is."""
    networks, names = Networks(len(found), len(layers), columns), named(layers)
    none = {
        "pooler.dense.weight": torch.eye(WIDTH) / 2,
        "pooler.dense.bias": torch.zeros(WIDTH),
        "classifier.weight": 0.02 * torch.randn(columns, WIDTH),
        "classifier.bias": torch.zeros(columns),
    }
    with torch.no_grad():
        for ours, tensor in networks.state_dict().items():
            for at, weights in enumerate(found):
                theirs = torch.cat([(none | weights)[name] for name in names[ours]])
                if ours.startswith("classifier"):
                    repeats = columns // len(theirs) or 1
                    theirs = theirs.repeat(repeats, *[1] * (theirs.ndim - 1))[:columns]
                tensor[at].copy_(theirs)
    return networks


def stored(networks: Networks, at: int) -> dict[str, torch.Tensor]:
    """Return the weights of one network by transformers' names, without "bert."."""
    state, found = networks.state_dict(), {}
    for ours, theirs in named(range(len(networks.layers))).items():
        for name, tensor in zip(theirs, state[ours][at].chunk(len(theirs)), strict=True):
            found[name] = tensor.float().cpu().clone()
    return found


def mixed(found: Sequence[dict[str, torch.Tensor]], shares: Sequence[float] | None = None) -> dict[str, torch.Tensor]:
    """Return the mean of weights; the second head of what has no second one does not count."""
    shares = shares or [1 / len(found)] * len(found)
    tall = max(len(weights["classifier.bias"]) for weights in found)
    full = [weights for weights in found if len(weights["classifier.bias"]) == tall]
    mean = {}
    for name in full[0]:
        tensors = [weights[name] for weights in found]
        if name.startswith("classifier"):
            tensors = [torch.cat([tensor, full[0][name][len(tensor) :]]) for tensor in tensors]
        mean[name] = sum(share * tensor for share, tensor in zip(shares, tensors, strict=True))
    return mean


def unpacked(file: Any, start: str) -> dict[str, torch.Tensor]:
    """Return the weights of a start, by transformers' names without "bert."."""
    found = {}
    for key in file.files:
        if not key.startswith(f"{start}:"):
            continue
        kind, name = key.split(":", 1)[1].split("/", 1)
        name = name.removeprefix("bert.")
        if kind in {"f", "f32"}:
            found[name] = torch.from_numpy(file[key].astype(np.float32))
        elif kind == "s":
            values = file[f"{start}:q/bert.{name}" if f"{start}:q/bert.{name}" in file else f"{start}:q/{name}"]
            scaled = values.astype(np.float32) * file[key].astype(np.float32)
            found[name] = torch.from_numpy(scaled.reshape(len(scaled), -1))
        elif kind == "q4d":
            pairs = file[f"{start}:q4q/{name}"]
            values = np.concatenate([pairs & 15, pairs >> 4], -1).astype(np.float32) - 8
            scaled = values * file[key].astype(np.float32)[..., None]
            found[name] = torch.from_numpy(scaled.reshape(len(scaled), -1))
    return found

"""A bundle appears whole or not at all, and one that is damaged is not opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from manifests import manifest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from registry.load import load_bundle
from registry.write import write_bundle
from schemas.bundle import MANIFEST, is_bundle_file
from schemas.emotions import EMOTIONS
from training.errors import UnusableModel, UnusableOutput


@pytest.fixture
def model() -> Any:
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=3,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            id2label=dict(enumerate(EMOTIONS)),
        )
    )


@pytest.fixture
def tokenizer() -> Any:
    inner = Tokenizer(WordLevel({"<unk>": 0, "<pad>": 1, "да": 2}, "<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def test_a_bundle_opens_with_weights_that_everybody_may_read(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    folder = tmp_path / "new" / "bundle"
    write_bundle(folder, model, tokenizer, manifest(), "# Card\n")
    opened, words, read = load_bundle(folder)
    assert (opened.dtype, read.version, words("да")["input_ids"]) == (torch.float32, "test-1", [2])
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o644"}
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    class FullDisk:
        def save_pretrained(self, folder: Path) -> None:
            (Path(folder) / "tokenizer.json").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UnusableOutput, match="No space left"):
        write_bundle(tmp_path / "bundle", model, FullDisk(), manifest(), "")
    assert list(tmp_path.iterdir()) == []
    write_bundle(tmp_path / "bundle", model, tokenizer, manifest(), "")
    assert (tmp_path / "bundle" / MANIFEST).is_file()


def test_a_bundle_is_written_without_files_that_are_none_of_a_bundles(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    tokenizer.chat_template = "{{ said }}"
    tokenizer.save_pretrained(tmp_path / "alone")
    assert not all(is_bundle_file(file.name) for file in (tmp_path / "alone").iterdir()), "such a tokenizer writes one"
    write_bundle(tmp_path / "bundle", model, tokenizer, manifest(), "")
    assert all(is_bundle_file(file.name) for file in (tmp_path / "bundle").iterdir())


def test_what_an_interrupted_run_left_is_cleared(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    stale = tmp_path / ".bundle.unfinished" / "stale.safetensors"
    stale.parent.mkdir()
    stale.touch()
    write_bundle(tmp_path / "bundle", model, tokenizer, manifest(), "")
    assert not (tmp_path / "bundle" / stale.name).exists()


def test_an_existing_folder_is_not_touched(tmp_path: Path, model: Any, tokenizer: Any) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UnusableOutput, match="exists"):
        write_bundle(tmp_path, model, tokenizer, manifest(), "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_without_manifest_or_with_foreign_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="no complete bundle"):
        load_bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes(manifest(labels=("joy",)).encode())
    with pytest.raises(UnusableModel, match="labels"):
        load_bundle(tmp_path)


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def lose_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "intermediate" not in name}, folder / "model.safetensors"
    )


def shuffle_labels(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = dict(enumerate(EMOTIONS[::-1]))
    (folder / "config.json").write_text(json.dumps(config | {"id2label": names}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (cut_weights, "Error while deserializing"),
        (lose_a_layer, "different models .*intermediate"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (shuffle_labels, "export the bundle again"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "no bundle"),
    ],
    ids=[
        "no weights",
        "weights cut short",
        "a layer is missing",
        "no config",
        "labels in another order",
        "no tokenizer",
    ],
)
def test_a_damaged_bundle_is_refused_in_one_line(
    damage: Callable[[Path], Any], says: str, tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder, model, tokenizer, manifest(), "")
    damage(folder)
    with pytest.raises(UnusableModel, match=says) as refusal:
        load_bundle(folder)
    assert "\n" not in str(refusal.value)
